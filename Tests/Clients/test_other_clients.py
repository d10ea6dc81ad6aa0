"""Other people's libraries for OpenAI's API, unmodified, and the requests of some that are too large to install here.

What the tiny model says is noise: what counts is that every library gets along with what comes over the wire.
"""

import asyncio
import os
from typing import Literal

import pytest
from pydantic import BaseModel

from raw_http import ask, chat, post

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
TOOL = {"type": "function", "function": {
    "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}
USER = {"role": "user", "content": "Hi"}


class Bird(BaseModel):
    """A bird."""

    kind: Literal["swift", "martin"]
    flies: bool


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


# LangChain


@pytest.fixture
def langchain(server):
    from langchain_openai import ChatOpenAI

    def make(**fields):
        return ChatOpenAI(**{"model": "tiny", "base_url": server.url + "/v1", "api_key": server.key, "max_tokens": 60,
                             "temperature": 0, "max_retries": 0, **fields})
    return make


def total(parts):
    whole = None
    for part in parts:
        whole = part if whole is None else whole + part
    return whole


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_langchain(langchain, api):
    model = langchain(use_responses_api=api == "responses", stream_usage=True)
    answer = model.invoke([("system", "Be brief."), ("user", "Hi")])
    assert answer.usage_metadata["output_tokens"] > 0
    whole = total(model.stream("Hi"))
    assert whole.text and whole.usage_metadata["output_tokens"] > 0
    assert model.invoke([("user", "Hi"), answer, ("user", "More")]).usage_metadata["input_tokens"] > 0


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_langchain_tools(langchain, api):
    from langchain_core.messages import HumanMessage, ToolMessage
    model = langchain(use_responses_api=api == "responses", max_tokens=100)
    caller = model.bind_tools([add], tool_choice="any")
    called = caller.invoke("1 + 2")
    streamed = total(caller.stream("1 + 2"))
    for message in (called, streamed):
        assert message.tool_calls and all(set(call["args"]) == {"a", "b"} for call in message.tool_calls)
    results = [ToolMessage("3", tool_call_id=call["id"]) for call in called.tool_calls]
    assert model.bind_tools([add]).invoke([HumanMessage("1 + 2"), called, *results]).usage_metadata


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "responses"])
def test_langchain_structured(langchain, method):
    model = langchain(use_responses_api=method == "responses", max_tokens=100)
    form = {} if method == "responses" else {"method": method}
    assert isinstance(model.with_structured_output(Bird, **form).invoke("A bird"), Bird)


def test_langchain_embeddings(server):
    """It makes token ids with a tokenizer of OpenAI's, unless it is told not to."""
    from langchain_openai import OpenAIEmbeddings
    model = OpenAIEmbeddings(
        model="tiny", base_url=server.url + "/v1", api_key=server.key, check_embedding_ctx_length=False)
    assert [len(vector) for vector in model.embed_documents(["a", "b c"])] == [32, 32]
    refused = post(server, "/v1/embeddings", {"model": "tiny", "input": [[15339, 1917]], "encoding_format": "base64"})
    assert refused.status == 400 and "send text" in refused.error["message"]


# Pydantic AI and the Agents SDK


def pydantic_model(server, api):
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    provider = OpenAIProvider(base_url=server.url + "/v1", api_key=server.key)
    return (OpenAIChatModel if api == "chat" else OpenAIResponsesModel)("tiny", provider=provider)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_pydantic_ai(server, api):
    from pydantic_ai import Agent, NativeOutput, ToolOutput

    async def talk():
        model, settings = pydantic_model(server, api), {"max_tokens": 100, "temperature": 0}
        first = await Agent(model, instructions="Be brief.", model_settings=settings).run("Hi")
        again = await Agent(model, model_settings=settings).run("More", message_history=first.all_messages())
        assert again.usage.output_tokens > 0
        for form in (NativeOutput(Bird), ToolOutput(Bird)):
            agent = Agent(model, output_type=form, model_settings=settings)
            assert isinstance((await agent.run("A bird")).output, Bird)
            async with agent.run_stream("A bird") as stream:
                assert isinstance(await stream.get_output(), Bird)
    asyncio.run(talk())


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_openai_agents(server, api):
    from agents import (
        Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool)
    from openai import AsyncOpenAI

    async def talk():
        client = AsyncOpenAI(base_url=server.url + "/v1", api_key=server.key)
        model = (OpenAIChatCompletionsModel if api == "chat" else OpenAIResponsesModel)("tiny", client)
        shaped = Agent(name="A", model=model, output_type=Bird, model_settings=ModelSettings(max_tokens=60, temperature=0))
        assert isinstance((await Runner.run(shaped, "A bird")).final_output, Bird)
        # The last turn's answer has a form, so that it ends.
        looping = Agent(
            name="B", model=model, output_type=Bird, tools=[function_tool(add)],
            model_settings=ModelSettings(max_tokens=100, temperature=0, tool_choice="required", include_usage=True),
            tool_use_behavior="stop_on_first_tool")
        result = await Runner.run(looping, "1 + 2")
        assert "tool_call_output_item" in [item.type for item in result.new_items]
        streamed = Runner.run_streamed(looping, "1 + 2")
        kinds = {event.type async for event in streamed.stream_events()}
        assert "raw_response_event" in kinds and "run_item_stream_event" in kinds
        later = result.to_input_list() + [{"role": "user", "content": "A bird"}]
        assert isinstance((await Runner.run(shaped, later)).final_output, Bird)
    asyncio.run(talk())


# Requests as other libraries send them


def test_litellm_sends_its_own_message_back(server):
    """`messages.append(response.choices[0].message)`, as its documentation has it."""
    called = chat(server, {"tools": [TOOL], "tool_choice": "required", "max_tokens": 60}).json["choices"][0]["message"]
    calls = [{"function": call["function"], "id": call["id"], "type": "function"} for call in called["tool_calls"]]
    own = {"role": "assistant", "provider_specific_fields": {"refusal": None}, "annotations": []}
    plain = {**own, "content": "x", "function_call": None, "tool_calls": None, "thinking_blocks": None}
    for messages in ([USER, {**own, "tool_calls": calls}] + [
            {"role": "tool", "tool_call_id": call["id"], "name": "add", "content": [{"type": "text", "text": "3"}]}
            for call in calls], [USER, plain, USER]):
        answer = chat(server, {"messages": messages, "tools": [TOOL]})
        assert answer.status == 200, answer.text


@pytest.mark.parametrize("path, body", [
    ("/v1/completions", {"prompt": "x", "max_tokens": 4}),
    ("/v1/chat/completions", {"max_completion_tokens": 4, "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]}]}),
])
def test_guidellm_and_vllm_bench(server, path, body):
    options = {"include_usage": True, "continuous_usage_stats": True}
    answer = post(server, path, {
        "model": "tiny", "stream": True, "stream_options": options, "stop": None, "ignore_eos": True,
        "repetition_penalty": 1.0, "temperature": 0.0, "best_of": 1, "use_beam_search": False, "logprobs": None, **body})
    assert answer.status == 200, answer.text
    assert '"completion_tokens":4' in answer.text and answer.text.endswith("data: [DONE]\n\n")
    assert ask(server, "GET", "/health").status == 200, "it asks there before it begins"


def test_guidellm_responses(server):
    body = {"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
            "stream": True, "max_output_tokens": 4, "stop": None, "ignore_eos": True}
    answer = post(server, "/v1/responses", body)
    assert answer.status == 200 and '"output_tokens":4' in answer.text


@pytest.mark.parametrize("prompt", [[[72, 105, 33, 34], [72, 105]], ["Hi!", "Hi"]])
def test_lm_eval_takes_the_last_token_away(server, prompt):
    """Where the model ends at once too: a text's log probability would lack its own last token otherwise."""
    body = {"model": "tiny", "prompt": prompt, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    usual = post(server, "/v1/completions", body).json["choices"]
    ending = post(server, "/v1/completions", {**body, "logit_bias": {"262": 100}}).json["choices"]
    for one, other, text in zip(usual, ending, prompt):
        assert other["finish_reason"] == "stop"
        for choice in (one, other):
            assert {len(values) for values in choice["logprobs"].values()} == {len(text) + 1}
            assert choice["logprobs"]["token_logprobs"][0] is None
            assert all(choice["logprobs"]["top_logprobs"][1:])
        assert one["logprobs"]["token_logprobs"][:-1] == other["logprobs"]["token_logprobs"][:-1]
        assert other["logprobs"]["tokens"][-1] == "" and other["logprobs"]["token_logprobs"][-1] < 0


@pytest.mark.parametrize("fields", [
    {"stream": False, "max_completion_tokens": 4, "max_tokens": None, "tools": [], "tool_choice": None},
    {"stop": [], "logit_bias": {}, "seed": None, "user": None, "n": None, "response_format": {"type": "text"},
     "parallel_tool_calls": None, "functions": [], "stream_options": None},
    {"tool_choice": "auto"}, {"tool_choice": "none", "tools": [TOOL]},
    {"store": False, "metadata": {"a": "b"}, "reasoning_effort": "none", "verbosity": "low", "service_tier": "auto",
     "prediction": {"type": "content", "content": "x"}, "safety_identifier": "s", "prompt_cache_key": "k"},
    {"messages": [{"role": "developer", "content": "x", "name": "d"}, {"role": "user", "content": "x", "name": "u"},
                  {"role": "assistant", "content": "x", "reasoning_content": "hm"}, USER]},
])
def test_what_chat_programs_send(server, fields):
    answer = chat(server, fields)
    assert answer.status == 200, answer.text
    assert chat(server, {"stream": True, **fields, "stream_options": {"include_usage": True}}
                ).status == (400 if fields.get("stream") is False else 200)


@pytest.mark.parametrize("fields, param, remedy", [
    ({"guided_json": {"type": "object"}}, "guided_json", "response_format"),
    ({"options": {"num_ctx": 4096}}, "options", "as fields of their own"),
    ({"keep_alive": "5m"}, "keep_alive", "model_idle_seconds"),
    ({"use_beam_search": True}, "use_beam_search", "leave it out"),
    ({"enable_thinking": False}, "enable_thinking", "goes into chat_template_kwargs"),
])
def test_fields_of_other_servers_say_what_to_do(server, fields, param, remedy):
    answer = chat(server, fields)
    assert answer.status == 400 and answer.error["param"] == param and remedy in answer.error["message"], answer.text
