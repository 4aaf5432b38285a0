"""Values as they are said, and what callers say as values again, in English and in Brazilian Portuguese.

Use them in what tools return, in greetings and in what is read back: a model that gets "12.50" guesses how to say it.

>>> from realtime_sip.prompts import spoken
>>> spoken.money("12.50", "BRL", "pt-BR"), spoken.cpf("123.456.789-09")
('doze reais e cinquenta centavos', 'final nove zero nove')
>>> spoken.heard_digits("nove meia um", "pt-BR")
'961'

Each `heard_…` reads back what its counterpart returns, and takes what callers say besides; what is not clear is None.
"""

from __future__ import annotations

from realtime_sip.prompts.numbers import heard_number, number
from realtime_sip.prompts.spoken.amounts import money
from realtime_sip.prompts.spoken.characters import code, digits, heard_code, heard_digits
from realtime_sip.prompts.spoken.email import email, heard_email
from realtime_sip.prompts.spoken.identifiers import cep, cnpj, cpf, ending, phone
from realtime_sip.prompts.spoken.moments import date, time

__all__ = [
    "cep",
    "cnpj",
    "code",
    "cpf",
    "date",
    "digits",
    "email",
    "ending",
    "heard_code",
    "heard_digits",
    "heard_email",
    "heard_number",
    "money",
    "number",
    "phone",
    "time",
]
