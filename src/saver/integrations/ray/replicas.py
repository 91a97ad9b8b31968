"""What answers: a replica of Ray Serve, which holds the models as `saver serve` does."""

from __future__ import annotations

import asyncio

from ray import serve
from ray.exceptions import RayError

from saver.errors import CannotReadError, SaverError
from saver.logger import logger
from saver.serve.serving import Serving
from saver.serve.settings import Settings
from saver.serve.within import Reply, asked, scope_of

PEERS_WITHIN = 5.0
"""Seconds in which a replica that answers already says with which versions."""


class Replica:
    """Loads the versions, checks them by their golden predictions, follows their refs, and answers.

    A ref may name a version that is refused when a replica starts, in the place of one that has died, say.
    Then it begins with the versions of the replicas that are there. If none is, it begins with what the ref
    named before, no earlier than `since` (Unix time), when it was deployed; and if that cannot be either, it
    raises what was refused.
    """

    async def __init__(self, settings: Settings, since: float) -> None:  # type: ignore[misc]  # Ray awaits it
        self._serving = Serving(settings)
        self._application = self._serving.application()
        try:
            await self._serving.load()
        except SaverError as error:
            instead = await self._of_peers()
            if instead is not None:
                await self._serving.load(instead)
            elif not await self._serving.load_earlier(since):
                raise
            begun = ", ".join((await self.current()).values())
            logger.warning("a replica begins with %s, since %s", begun, error)
        self._following = self._serving.following()

    async def _of_peers(self) -> dict[str, str] | None:
        here = serve.get_replica_context()
        handle = serve.get_deployment_handle(here.deployment, here.app_name)
        try:
            async with asyncio.timeout(PEERS_WITHIN):
                found: dict[str, str] = await handle.current.remote()
        except (TimeoutError, RayError):  # nobody is there
            return None
        return found

    async def current(self) -> dict[str, str]:
        """The ref of the version that answers, by name."""
        models = self._serving.models.items()
        return {name: each.current.ref for name, each in models if each.current is not None}

    async def answer(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]],
        client: tuple[str, int] | None, body: bytes,
    ) -> Reply:  # fmt: skip
        """The answer to a request that a door has let through."""
        return await asked(self._application, scope_of(method, path, query, headers, client), body)

    async def check_health(self) -> None:
        """Ray Serve replaces a replica for which this raises: its model can be loaded no longer."""
        for name, each in self._serving.models.items():
            if each.current is None or (each.current.lost and not each.current.workers):
                raise CannotReadError(f"{name}: no process is left that holds the model; {each.trouble}")
