"""TLS between memory and memory: bytes that were read go in and come out plain, so that reads keep their own stamps."""

import functools
import ssl

import httpx

_READ_BYTES = 1 << 16  # more than a TLS record holds


class Tls:
    """The client's end of one TLS connection, without a socket. What is to be sent waits in `outgoing`."""

    def __init__(self, context: ssl.SSLContext, server_hostname: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self.outgoing, server_hostname=server_hostname)

    def feed(self, data: bytes) -> None:
        """Take what was read; no bytes is the end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def handshake(self) -> bool:
        """Go on with the handshake; whether it is done. Raises ssl.SSLError."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> bytes:
        """What to send for `data`."""
        self._ssl.write(data)
        return self.outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """The plain bytes that `data` completes, and whether the peer has ended. Raises ssl.SSLError."""
        self.feed(data)
        plain = b""
        while True:
            try:
                more = self._ssl.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                return plain, False
            except ssl.SSLEOFError:  # closed without TLS's own goodbye: for HTTP to judge
                return plain, True
            if not more:
                return plain, True
            plain += more


@functools.cache
def default_context(verify: bool) -> ssl.SSLContext:
    """The system's trust, or, where somebody said so, trust in anybody."""
    return httpx.create_ssl_context(verify=verify, trust_env=False)


def reason(error: ssl.SSLError) -> str:
    """Why TLS failed, in OpenSSL's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "TLS failed").replace("_", " ").lower()
