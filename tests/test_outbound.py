"""Who answered, by the first words: what people, machines and assistants say, as transcripts have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.outbound import Answered, who_answered

ENGLISH: dict[Answered, list[list[str]]] = {
    Answered.HUMAN: [
        ["Hello?"],
        ["Hello."],
        ["Yeah?"],
        ["Hi, this is Karen."],
        ["Good morning, Karen speaking."],
        ["Who is this?"],
        ["Hello?", "Hello, who's calling?"],
        ["This is Tom."],
        ["Thanks for calling Bright Dental, how can I help you?"],
        ["Miller's garage, can I help you?"],
        ["Yes, may I ask who's calling?"],
        ["Hey, can I call you back later?"],
        ["Yes, can I call you back later, I'm driving."],
        ["Ana's phone, she's not available right now, can I take a message?"],
        ["Hello? I think we got disconnected."],
        ["Press office, hello?"],
        ["You've reached Acme support, how may I help you?"],
    ],
    Answered.VOICEMAIL: [
        ["Hi, you've reached Karen. I can't come to the phone right now, so leave a message."],
        ["Hello.", "You have reached the voicemail of 4 1 5 5 5 5 0 1 0 0. At the tone, please record your message."],
        ["Your call has been forwarded to an automatic voice message system."],
        ["The person is not available.", "When you have finished recording, hang up, or press 1 for more options."],
        ["Hey, it's Tom, I'm away from my phone. Leave me your name and number and I'll get back to you."],
        ["We are unable to take your call. Please leave a short message after the beep."],
        ["Thank you for calling. Our office is closed, please leave your name and we will return your call."],
    ],
    Answered.IVR: [
        ["Thank you for calling Bright Dental. For appointments, press 1. For billing, press 2."],
        ["Please listen carefully, as our menu options have changed."],
        ["For English, press one. Para español, oprima dos."],
        ["If you know your party's extension, dial it now."],
        ["In a few words, tell me what you're calling about."],
        ["To leave a message for the front desk, press 3, or press 0 for the operator."],
        ["Please enter your account number, followed by the pound key."],
    ],
    Answered.SCREENING: [
        ["Hi. If you record your name and reason for calling, I'll see if this person is available."],
        ["The person you're calling uses a screening service. Go ahead and say your name and why you're calling."],
        ["Please state your name and the purpose of your call, and I will see if they are available."],
        ["Please say your name before the call is connected."],
        ["This is an automated assistant for John. Who's calling, please?"],
    ],
    Answered.UNKNOWN: [
        [],
        [""],
        ["…"],
        ["Thank you for calling Truly Pizza. Our hours of operation are eleven to eight, Sunday through Thursday."],
        ["The mailbox is full and cannot accept any messages at this time. Goodbye."],
        ["The person you called has a voice mailbox that hasn't been set up yet. Goodbye."],
        ["The number you have dialed is not in service."],
        ["Guten Tag, hier spricht die Zentrale."],
        ["Karen"],
        ["Hello, you've reached the Smiths."],
        ["Please hold while I try to connect you."],
        ["The number you have called has been disconnected."],
        ["Hello everybody and welcome to the show in which we talk about all the things that happened this week"],
    ],
}

PORTUGUESE: dict[Answered, list[list[str]]] = {
    Answered.HUMAN: [
        ["Alô?"],
        ["Alô, quem fala?"],
        ["Oi."],
        ["Pronto."],
        ["Bom dia, Padaria Central, em que posso ajudar?"],
        ["Sim, com quem deseja falar?"],
        ["Estou sim, quem fala?"],
        ["Pois não?"],
        ["É ela."],
        ["Oi, posso te ligar depois? Não posso atender agora."],
        ["Não está. Quer deixar recado?"],
        ["Alô, quem é? Se for propaganda, não quero."],
    ],
    Answered.VOICEMAIL: [
        ["Sua chamada está sendo encaminhada para a caixa postal e estará sujeita à cobrança após o sinal."],
        ["Oi, aqui é a Ana, não posso atender agora. Deixe seu recado."],
        ["Alô.", "No momento não consigo atender, deixe uma mensagem que eu retorno."],
        ["Grave sua mensagem após o sinal."],
        ["O cliente que ligou não está disponível de momento. Deixe a sua mensagem depois do sinal."],
        ["Ligou para o correio de voz do 9 1 2 3 4 5 6 7 8."],
        ["Você ligou para a Ana. No momento não posso falar."],
        ["Deixe o seu recado após o bipe. Quando terminar, desligue ou digite 1."],
    ],
    Answered.IVR: [
        ["Bem-vindo à Clínica Sorriso. Para marcar consulta, digite 1. Para falar com um atendente, digite 9."],
        ["Para continuar em português, tecle um."],
        ["Escolha uma das opções a seguir."],
        ["Para assistência técnica, prima 2."],
        ["Digite seu CPF, seguido de jogo da velha."],
        ["Diga em poucas palavras o que você precisa."],
    ],
    Answered.SCREENING: [
        ["Olá. Diga seu nome e o motivo da ligação, e vou ver se a pessoa está disponível."],
        ["Oi, se você gravar seu nome e o motivo da ligação, vou ver se esta pessoa pode atender."],
        ["A pessoa para quem você ligou usa um serviço de filtro de chamadas. Informe seu nome."],
        ["Indique o seu nome e o assunto da chamada."],
    ],
    Answered.UNKNOWN: [
        ["A caixa postal está cheia."],
        ["O número discado não existe."],
        ["Este telefone está desligado ou fora da área de cobertura."],
        ["Nosso horário de atendimento é de segunda a sexta, das nove às dezoito horas."],
        ["Este número está programado para não receber chamadas."],
        ["Oi, você ligou para a Ana."],
    ],
}

TABLE = [
    pytest.param(heard, who, id=f"{language}: {' '.join(heard)[:40]}")
    for language, table in (("en", ENGLISH), ("pt", PORTUGUESE))
    for who, cases in table.items()
    for heard in cases
]


@pytest.mark.parametrize(("heard", "who"), TABLE)
def test_who_answered_by_the_first_words(heard: list[str], who: Answered) -> None:
    assert who_answered(heard) is who


@pytest.mark.parametrize(("heard", "who"), TABLE)
def test_capitals_and_punctuation_of_a_transcript_do_not_matter(heard: list[str], who: Answered) -> None:
    bare = [text.upper().replace(",", "").replace(".", " ").replace("?", "") for text in heard]
    assert who_answered(bare) is who


@pytest.mark.parametrize("greeting", [cases[0][0] for cases in (ENGLISH[Answered.HUMAN], PORTUGUESE[Answered.HUMAN])])
def test_a_machine_that_begins_like_a_person_is_known_by_what_follows(greeting: str) -> None:
    assert who_answered([greeting]) is Answered.HUMAN
    assert who_answered([greeting, "Please leave a message after the tone."]) is Answered.VOICEMAIL


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_words_have_an_answer(heard: list[str]) -> None:
    assert who_answered(heard) in Answered


def test_only_the_beginning_is_looked_at() -> None:
    assert who_answered(["la " * 5000, "press 1"]) is Answered.UNKNOWN
