"""What differs between a laptop and production: from the environment, and from the file `.env`."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One field for each variable; the environment counts more than the file."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    openai_api_key: SecretStr
    openai_webhook_secret: SecretStr
    openai_base_url: str | None = None
    """Another service than OpenAI's, such as the emulator of `realtime-sip ring`."""
    database_url: str = "sqlite+aiosqlite:///florist.db"
    redis_url: str | None = None
    """Shared by several workers, so that they know of each other's calls."""
    drain_timeout: float = 25.0
    """Seconds that calls may go on when the server stops: less than whatever kills it then."""
    orders_number: str = "+14155550110"
    events_number: str = "+14155550120"
    office_token: SecretStr = Field(min_length=16)
    """Opens the pages with the calls, which are personal data."""
