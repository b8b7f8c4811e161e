"""Any key is taken, and is its own user. In earnest this is LiteLLM's database of keys."""

import hashlib

from litellm.proxy._types import UserAPIKeyAuth


async def authenticate(request, api_key: str) -> UserAPIKeyAuth:
    hashed = hashlib.sha256(api_key.encode()).hexdigest()
    return UserAPIKeyAuth(api_key=hashed, user_id=f"user-{hashed[:8]}")
