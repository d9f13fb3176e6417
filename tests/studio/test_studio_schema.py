"""The API by its own description: whatever is asked, the server answers, and says what is wrong in words."""

from __future__ import annotations

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from ganvas.studio.app import create_app
from ganvas.studio.guard import Guard
from ganvas.studio.workspace import Workspace

HOST = {"Host": "127.0.0.1"}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The description of a studio that runs, without what never ends."""
    folder = tmp_path_factory.mktemp("described")
    app = create_app(Workspace(folder / "work", (), folder / "no-runs"), Guard(), program=("true",))
    with TestClient(app, base_url="http://127.0.0.1"):
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST).exclude(path="/api/events")


def test_whatever_is_asked_is_answered(described):
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case):
            answer = case.call(headers=HOST)
            assert answer.status_code < 500, answer.text
            if answer.status_code >= 400:
                assert answer.json().get("what"), answer.text

        ask()
