"""Pictures from cameras: reverse matchmove's networks."""
