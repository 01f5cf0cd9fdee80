"""A place to sign in: OpenID Connect discovery, keys, and a user who says yes at once."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwk, jwt

KEY = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
SECRET = "client-secret-canary"


class OpenId:
    """The provider, at `url`; whoever comes is `subject`."""

    def __init__(self, audience: str) -> None:
        self.subject, self.audience = "auth0|ann", audience
        self.given: list[str] = []  # access tokens
        openid = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                if parts.path == "/authorize":
                    self.send_response(302)
                    answer = urlencode({"code": "code", "state": asked["state"]})
                    self.send_header("Location", f"{asked['redirect_uri']}?{answer}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif parts.path == "/keys":
                    self.say({"keys": [KEY.as_dict(private=False)]})
                else:
                    self.say(openid.configuration())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.say(openid.tokens())

            def say(self, what: dict[str, Any]) -> None:
                body = json.dumps(what).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def configuration(self) -> dict[str, Any]:
        """What discovery tells."""
        return {
            "issuer": f"{self.url}/",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def tokens(self) -> dict[str, Any]:
        """What a code is exchanged for."""
        now = int(time.time())
        claims = {"iss": f"{self.url}/", "aud": self.audience, "sub": self.subject, "scope": "openid"}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, "iat": now, "exp": now + 600}, KEY)
        self.given.append(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": "openid"}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
