"""The unmodified `openai` client against a real server with a tiny random language model."""

import asyncio
import base64
import json
import struct
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

MESSAGES = [{"role": "user", "content": "Hi"}]
FIXED = {"temperature": 0, "max_tokens": 16, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="session")
def client(server):
    with openai.OpenAI(
        base_url=server.url + "/v1", api_key=server.key, _strict_response_validation=True, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="session")
def lenient(server):
    """Without strict validation, where the client's own types are narrower than what OpenAI's server sends."""
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, timeout=60) as client:
        yield client


@pytest.fixture
def aclient(server):
    return openai.AsyncOpenAI(
        base_url=server.url + "/v1", api_key=server.key, _strict_response_validation=True, timeout=120)


def chat(client, **fields):
    return client.chat.completions.create(**{"model": "tiny", "messages": MESSAGES, **FIXED, **fields})


# Models


def test_models(client):
    ids = [model.id for model in client.models.list()]
    assert "tiny" in ids and "flowers" not in ids
    model = client.models.retrieve("tiny@1")
    assert model.object == "model" and model.created > 0
    with pytest.raises(openai.NotFoundError) as failure:
        client.models.retrieve("gpt-9")
    assert failure.value.code == "model_not_found"


# Chat


def test_chat(client):
    whole = chat(client)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 16 and whole.usage.total_tokens == whole.usage.prompt_tokens + 16
    assert whole._request_id
    again = chat(client)
    assert again.choices[0].message.content == whole.choices[0].message.content


def test_chat_stream(client):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 16
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "length"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content


def test_chat_stream_helper(client):
    with client.chat.completions.stream(
        model="tiny", messages=MESSAGES, max_tokens=8, temperature=0, logit_bias={"65": 100}, stop=["AAAA"]
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds and final.choices[0].message.role == "assistant"


def test_many_answers_and_logprobs(client):
    whole = chat(client, n=3, temperature=1, seed=7, logprobs=True, top_logprobs=4)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    for choice in whole.choices:
        assert len(choice.logprobs.content) == 16
        for token in choice.logprobs.content:
            assert token.logprob <= 0 and len(token.top_logprobs) == 4
            assert token.top_logprobs == sorted(token.top_logprobs, key=lambda top: -top.logprob)
    same = chat(client, n=3, temperature=1, seed=7, logprobs=True, top_logprobs=4)
    assert [c.message.content for c in same.choices] == [c.message.content for c in whole.choices]
    parts = list(chat(client, n=2, stream=True, temperature=1))
    assert {part.choices[0].index for part in parts} == {0, 1}


def test_stop_and_bias(client):
    whole = chat(client, max_tokens=4, logit_bias={"65": 100})
    assert whole.choices[0].message.content == "AAAA"
    stopped = chat(client, max_tokens=4, logit_bias={"65": 100}, stop=["AAA"])
    assert stopped.choices[0].finish_reason == "stop" and stopped.choices[0].message.content == ""


class Bird(BaseModel):
    kind: Literal["swift", "martin"]
    flies: bool


def test_json_schema(client):
    parsed = client.chat.completions.parse(
        model="tiny", messages=MESSAGES, response_format=Bird, temperature=1, seed=3, max_tokens=64)
    assert parsed.choices[0].finish_reason == "stop"
    assert isinstance(parsed.choices[0].message.parsed, Bird)
    with client.chat.completions.stream(
        model="tiny", messages=MESSAGES, response_format=Bird, temperature=1, seed=4, max_tokens=64
    ) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Bird)


TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"bird": {"enum": ["swift", "martin"]}, "far": {"type": "boolean"}},
            "required": ["bird", "far"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_tools(client, choice):
    made = chat(client, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False, max_tokens=128, temperature=1)
    call = made.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "look_up" and arguments["bird"] in ("swift", "martin")
    chunks = list(
        chat(client, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False, max_tokens=128, stream=True))
    deltas = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices and c.choices[0].delta.tool_calls]
    assert deltas[0].id and deltas[0].function.name == "look_up"
    json.loads("".join(delta.function.arguments or "" for delta in deltas))
    # The answer and the tool's result go back as they came.
    chat(client, messages=[*MESSAGES, made.choices[0].message, {
        "role": "tool", "tool_call_id": call.id, "content": "42"}], tools=[TOOL], tool_choice="none")


class LookUp(BaseModel):
    bird: Literal["swift", "martin"]
    far: bool


@pytest.mark.parametrize("first", ["<", "{"])
def test_tools_and_a_schema(client, first):
    """What agent frameworks send: the answer is a call or a text of the schema, as the model begins."""
    fields = {
        "model": "tiny", "messages": MESSAGES, "response_format": Bird, "temperature": 1, "max_tokens": 128,
        "tools": [openai.pydantic_function_tool(LookUp)], "parallel_tool_calls": False,
        "logit_bias": {str(ord(first)): 100},
    }

    def check(choice):
        if first == "<":
            call = choice.message.tool_calls[0]
            assert choice.finish_reason == "tool_calls" and not choice.message.content
            assert call.function.name == "LookUp" and isinstance(call.function.parsed_arguments, LookUp)
        else:
            assert choice.finish_reason == "stop" and not choice.message.tool_calls
            assert isinstance(choice.message.parsed, Bird)

    check(client.chat.completions.parse(**fields).choices[0])
    with client.chat.completions.stream(**fields) as stream:
        check(stream.get_final_completion().choices[0])
    made = client.chat.completions.parse(**fields, tool_choice="required")
    assert made.choices[0].message.tool_calls[0].function.parsed_arguments


def test_a_response_with_tools_and_a_schema(client):
    made = client.responses.parse(
        model="tiny", input="x", text_format=Bird, temperature=1,
        tools=[{"type": "function", "name": "LookUp", "strict": True, "parameters": {
            **LookUp.model_json_schema(), "additionalProperties": False}}])
    calls = [item for item in made.output if item.type == "function_call"]
    assert bool(calls) != isinstance(made.output_parsed, Bird)
    for call in calls:
        LookUp.model_validate_json(call.arguments)


# Completions and embeddings


def test_completions(client, lenient):
    texts = client.completions.create(model="tiny", prompt=["the man", "in the"], n=2, max_tokens=4, temperature=0)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    assert texts.choices[0].text == texts.choices[1].text
    ids = client.completions.create(model="tiny", prompt=[[257, 32], [109]], max_tokens=2)
    assert len(ids.choices) == 2
    echoed = lenient.completions.create(model="tiny", prompt="the man", max_tokens=2, echo=True, logprobs=2)
    assert echoed.choices[0].text.startswith("the man")
    chances = echoed.choices[0].logprobs
    # The first token of the prompt has no probability: nothing comes before it.
    assert "".join(chances.tokens).startswith("the man") and chances.text_offset[0] == 0
    assert chances.token_logprobs[0] is None and chances.top_logprobs[0] is None
    assert all(number <= 0 for number in chances.token_logprobs[1:])
    chunks = list(lenient.completions.create(model="tiny", prompt="the", max_tokens=3, stream=True))
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")


def test_embeddings(client, lenient):
    made = lenient.embeddings.create(model="tiny", input=["the man", "in the"])
    numbers = client.embeddings.create(model="tiny", input=["the man", "in the"], encoding_format="float")
    assert made.data[1].embedding == pytest.approx(numbers.data[1].embedding, abs=1e-6)
    assert sum(x * x for x in made.data[0].embedding) == pytest.approx(1, abs=1e-4)
    assert len(lenient.embeddings.create(model="tiny", input="x", dimensions=8).data[0].embedding) == 8
    raw = client.embeddings.with_raw_response.create(model="tiny", input="x", encoding_format="base64")
    data = base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(data) // 4}f", data)) == 32


# Responses


def test_responses(client):
    first = client.responses.create(
        model="tiny", input="One", instructions="Be brief.", store=True, max_output_tokens=8, metadata={"a": "b"})
    assert first.status in ("completed", "incomplete") and first.usage.output_tokens <= 8
    second = client.responses.create(
        model="tiny", input="Two", previous_response_id=first.id, max_output_tokens=4, temperature=0)
    assert second.usage.input_tokens > first.usage.input_tokens - 10
    assert client.responses.retrieve(first.id).output_text == first.output_text
    items = client.responses.input_items.list(first.id)
    assert items.data[0].content[0].text == "One"
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(first.id)
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="tiny", input="x", previous_response_id=second.id)


def test_responses_stream(client):
    with client.responses.stream(
        model="tiny", input=[{"role": "user", "content": "Hi"}], temperature=0, extra_body={"max_output_tokens": None}
    ) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete") and "response.output_text.delta" in kinds
    parsed = client.responses.parse(model="tiny", input="x", text_format=Bird, temperature=1)
    assert isinstance(parsed.output_parsed, Bird)


def test_a_kept_response_is_told_again(client):
    made = client.responses.create(model="tiny", input="One", store=True, max_output_tokens=8, temperature=0)
    events = list(client.responses.retrieve(made.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[0].response.output == []
    assert events[-1].response.to_dict() == made.to_dict()
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == made.output_text
    later = list(client.responses.retrieve(made.id, stream=True, starting_after=3))
    assert [event.sequence_number for event in later] == list(range(4, len(events)))


def test_a_response_in_the_background_is_streamed_and_resumed(client):
    asked = {"model": "tiny", "input": "One", "temperature": 0, "max_output_tokens": 24}
    seen = []
    with client.responses.create(**asked, background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    # The client has left; what it missed is there, in the same stream and in one of its own.
    kinds = [event.type for event in seen]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert seen[0].response.status == "queued" and seen[0].response.background
    made = seen[0].response.id
    seen += client.responses.retrieve(made, stream=True, starting_after=seen[-1].sequence_number)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type in ("response.completed", "response.incomplete")
    whole = client.responses.retrieve(made)
    assert seen[-1].response.to_dict() == whole.to_dict()
    assert "".join(e.delta for e in seen if e.type == "response.output_text.delta") == whole.output_text
    again = list(client.responses.retrieve(made, stream=True))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in seen]
    with client.responses.stream(response_id=made, starting_after=4) as stream:
        assert [event.sequence_number for event in stream] == list(range(5, len(seen)))
    client.responses.delete(made)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made, stream=True)


def test_tokens_of_a_response_are_counted(client):
    given = {"model": "tiny", "input": "One", "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(**given)
    made = client.responses.create(**given, store=True, max_output_tokens=2)
    assert counted.input_tokens == made.usage.input_tokens
    after = client.responses.input_tokens.count(model="tiny", input="Two", previous_response_id=made.id)
    assert after.input_tokens > counted.input_tokens - 10


def test_a_long_conversation_is_cut_where_that_is_asked(client):
    turns = [{"role": "user", "content": f"{index:02d}" + "a" * 60} for index in range(12)]
    with pytest.raises(openai.BadRequestError) as failure:
        client.responses.create(model="tiny", input=turns, max_output_tokens=4)
    assert failure.value.code == "context_length_exceeded" and failure.value.param == "input"
    cut = client.responses.create(model="tiny", input=turns, max_output_tokens=4, truncation="auto")
    assert cut.truncation == "auto" and cut.usage.input_tokens < 512
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="tiny", input="a" * 2000, truncation="auto")


def test_what_is_not_offered_says_why(client):
    for ask in (
        lambda: client.images.generate(prompt="x"), lambda: client.moderations.create(input="x"),
        lambda: client.responses.compact(model="tiny", input="x"), lambda: client.vector_stores.list(),
    ):
        with pytest.raises(openai.NotFoundError) as failure:
            ask()
        assert "is not offered: " in failure.value.message


def test_responses_tools(client):
    tool = {"type": "function", **TOOL["function"]}
    made = client.responses.create(model="tiny", input="x", tools=[tool], tool_choice="required")
    call = next(item for item in made.output if item.type == "function_call")
    json.loads(call.arguments)
    answered = client.responses.create(model="tiny", tools=[tool], tool_choice="none", max_output_tokens=4, input=[
        {"role": "user", "content": "x"}, call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "42"}])
    assert answered.output_text is not None


# Graders, tried on one answer


def test_graders(client):
    graders = client.fine_tuning.alpha.graders
    same = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{ sample.output_text }}",
            "reference": "{{ item.answer }}"}
    assert graders.run(grader=same, model_sample="swift", item={"answer": "swift"}).reward == 1
    assert graders.run(grader=same, model_sample="martin", item={"answer": "swift"}).reward == 0
    missing = graders.run(grader=same, model_sample="martin", item={})
    assert missing.reward == 0 and missing.metadata.errors.other_error
    both = graders.run(model_sample="swift", item={"answer": "swift"}, grader={
        "type": "multi", "name": "both", "calculate_output": "(same + 1) / 4", "graders": {"same": same}})
    assert both.reward == 0.5 and both.sub_rewards == {"same": 1}
    asked = graders.run(model_sample="swift", item={}, grader={
        "type": "score_model", "name": "by a model", "model": "tiny", "range": [0, 1],
        "input": [{"role": "user", "content": "{{ sample.output_text }}"}]})
    assert 0 <= asked.reward <= 1 and asked.metadata.name == "by a model"
    assert graders.validate(grader=same).grader.name == "same"
    for grader, param in [
        ({**same, "operation": "equals"}, "grader.operation"), ({"type": "python", "name": "x", "source": "1"}, "grader.type"),
        ({**same, "input": "{{ sample"}, "grader.input"),
    ]:
        with pytest.raises(openai.BadRequestError) as failure:
            graders.validate(grader=grader)
        assert failure.value.param == param


# Errors, retries, clients that leave


@pytest.mark.parametrize("fields, param", [
    ({"temperature": 3}, "temperature"), ({"max_tokens": 2**31}, "max_tokens"), ({"n": 16385}, "n"),
    ({"extra_body": {"top_k": -2**63}}, "top_k"), ({"extra_body": {"nonsense": 1}}, "nonsense"),
    ({"logit_bias": {"99999": 1}}, "logit_bias"), ({"extra_body": {"chat_template": "x"}}, "chat_template"),
])
def test_bad_requests(client, fields, param):
    with pytest.raises(openai.BadRequestError) as failure:
        chat(client, **fields)
    assert failure.value.param == param and failure.value.type == "invalid_request_error"


def test_too_long(client):
    with pytest.raises(openai.BadRequestError) as failure:
        chat(client, messages=[{"role": "user", "content": "a" * 2000}])
    assert failure.value.code == "context_length_exceeded"


def test_keys_and_models(server, client):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="mk_wrong").models.list()
    with pytest.raises(openai.NotFoundError) as failure:
        chat(client, model="gpt-9")
    assert failure.value.code == "model_not_found" and failure.value.param == "model"


def test_timeouts(client):
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.0005, max_retries=1), max_tokens=400)
    assert chat(client).choices[0].message.content is not None


def test_retries(server):
    """The client comes back by itself while the model's process is started again."""
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key, max_retries=5)
    assert chat(client).id
    for replica in server.replicas():
        replica.kill()
    assert chat(client).id


def test_cancelled_streams(server, client):
    key = server.json("keys", "create", "--name", "leaver")
    for _ in range(8):
        stream = chat(client.with_options(api_key=key["secret"]), stream=True, max_tokens=400, n=16)
        next(iter(stream))
        stream.close()
    assert chat(client, max_tokens=4).id
    server.standing()
    assert server.billed(key) < 8 * 16 * 400 / 2, "what was asked for is not computed once nobody waits for it"


def test_64_at_once(aclient):
    async def ask(index):
        token = 65 + index % 26
        whole = await aclient.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": f"{index}"}], max_tokens=12, temperature=0,
            logit_bias={str(token): 100})
        stream = await aclient.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": f"{index}"}], max_tokens=12, temperature=0,
            logit_bias={str(token): 100}, stream=True)
        text = ""
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return token, whole.choices[0].message.content, text

    async def everything():
        async with aclient:
            return await asyncio.gather(*[ask(index) for index in range(64)])

    for token, whole, text in asyncio.run(everything()):
        # Token t is byte t: a text of another request would show.
        assert whole == text == chr(token) * 12


def test_tokens_are_told(server, client):
    usage = server.json("usage")["data"]
    assert any(row["completion_tokens"] > 0 for row in usage if row["resource"] == "tiny@1")
