"""A Mattermost site inside a network namespace: `python -m tests.lab.site_host PORT '{"strips": true}' [PEM]`.

With PEM (a key and its certificates) over TLS. Prints a line once it listens, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

from tests.servers.site_servers import Site, site


async def main(port: int, how: Site, pem: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if pem else None
    if tls is not None:
        tls.load_cert_chain(pem)
    async with site(how, tls, ("0.0.0.0", port)):
        print("ready", flush=True)  # noqa: T201 - what the test waits for
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Site(**json.loads(sys.argv[2])), sys.argv[3] if len(sys.argv) > 3 else ""))
