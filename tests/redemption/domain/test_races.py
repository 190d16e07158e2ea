"""The machine of races over a store in memory."""

from __future__ import annotations

from hypothesis import settings

from tests.redemption.races import Races

TestRaces = Races.TestCase
TestRaces.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
