"""Recipes compared under equal budgets."""
