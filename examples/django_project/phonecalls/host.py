"""What `REALTIME_SIP` names. It is imported by the first request, which needs the keys."""

from __future__ import annotations

from django.db import connection

from phonecalls.agents import create_host
from realtime_sip import AsyncRealtimeSip, MemoryStore
from realtime_sip.stores import PostgresStore

# All workers share PostgreSQL, and so a store in it: a call that is announced to two of them is answered by one. Like
# psycopg for Django, it reads PGDATABASE and the other variables.
store = PostgresStore("") if connection.vendor == "postgresql" else MemoryStore()
host = create_host(AsyncRealtimeSip(), store=store)
