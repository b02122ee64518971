"""Fixtures of the annotator's tests: a drawn clip and a session on it with a model that needs no weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import shapes
from flood import Flood

from vidseg.annotate import Session, open_session

if TYPE_CHECKING:
    from browser import Serving


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn clip of 24 frames."""
    return shapes.write(tmp_path_factory.mktemp("clip") / "shapes")


@pytest.fixture
def session(tmp_path: Path, video: Path) -> Iterator[Session]:
    """A fresh project on the clip, open for work; corrections do not propagate by themselves."""
    with_model = open_session(tmp_path / "shapes.vidseg", videos=[video], load=Flood)
    with_model.project.set_settings({"repropagate": "off"})
    with with_model:
        yield with_model


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    """A running Chromium; skips the test where there is none."""
    from browser import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def serving(session: Session) -> Iterator[Serving]:
    """The session's server, the model asked for."""
    from browser import Serving

    session.prepare()
    found = Serving(session)
    yield found
    found.stop()
