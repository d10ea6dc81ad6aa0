import Foundation
import MartletWire
import Testing

@Suite("What OpenAI's API takes", .serialized)
struct OpenAIRequestTests {
    /// Bodies of chats that are refused, with the field that the answer names.
    static let badChats: [(JSONObject, String)] = [
        (["temprature": 1], "temprature"), (["temperature": 2.1], "temperature"),
        (["temperature": -0.1], "temperature"),
        (["temperature": "hot"], "temperature"), (["top_p": 1.5], "top_p"), (["n": 0], "n"), (["n": 65], "n"),
        (["n": 16385], "n"), (["max_tokens": 2_147_483_648], "max_tokens"), (["max_tokens": -1], "max_tokens"),
        (["max_tokens": 1.5], "max_tokens"), (["max_tokens": 9.3e18], "max_tokens"), (["max_tokens": 0], "max_tokens"),
        (["max_completion_tokens": 2_147_483_648], "max_completion_tokens"),
        (["max_tokens": 3, "max_completion_tokens": 4], "max_tokens"), (["top_logprobs": 5], "top_logprobs"),
        (["logprobs": true, "top_logprobs": 21], "top_logprobs"), (["logprobs": 3], "logprobs"),
        (["top_k": -2], "top_k"), (["top_k": -9_223_372_036_854_775_807], "top_k"), (["min_p": 2], "min_p"),
        (["repetition_penalty": 0], "repetition_penalty"), (["presence_penalty": 3], "presence_penalty"),
        (["frequency_penalty": -3], "frequency_penalty"), (["seed": 1.5], "seed"),
        (["logit_bias": ["x": 1]], "logit_bias"),
        (["logit_bias": ["-1": 1]], "logit_bias"), (["logit_bias": ["1": 101]], "logit_bias"),
        (["stop": .array((0...32).map { .string("\($0)") })], "stop"), (["stop": ""], "stop"), (["stop": 7], "stop"),
        (["stream_options": ["include_usage": true]], "stream_options"),
        (["stream": true, "stream_options": ["usage": true]], "stream_options.usage"),
        (["chat_template": "{{ 1 }}"], "chat_template"), (["chat_template_kwargs": [1]], "chat_template_kwargs"),
        (["chat_template_kwargs": ["a": 1, "messages": []]], "chat_template_kwargs"),
        (["chat_template_kwargs": ["chat_template": "{{ 1 }}"]], "chat_template_kwargs"),
        (["chat_template_kwargs": ["bos_token": "x"]], "chat_template_kwargs"),
        (["best_of": 2], "best_of"), (["functions": [["name": "f"]]], "functions"), (["store": 1], "store"),
        (["modalities": ["text", "audio"], "audio": ["voice": "x"]], "modalities"), (["audio": "loud"], "audio"),
        (["functions": [["name": "f"]], "function_call": ["name": "f"]], "functions"),
        (["prediction": 1], "prediction"),
        (["tool_choice": "required"], "tool_choice"), (["tool_choice": "sometimes"], "tool_choice"),
        (["tools": [["type": "web_search"]]], "tools[0].type"),
        (["tools": [["type": "function", "function": ["name": "a b"]]]], "tools[0].function.name"),
        (["response_format": ["type": "xml"]], "response_format.type"),
        (["response_format": ["type": "json_schema"]], "response_format.json_schema"),
        (["response_format": ["type": "json_object", "schema": ["type": "object"]]], "response_format.schema"),
        (["messages": []], "messages"),
        (["messages": [["role": "robot", "content": "x"]]], "messages[0].role"),
        (["messages": [["role": "user"]]], "messages[0].content"),
        (["messages": [["role": "user", "content": "x", "mood": 1]]], "messages[0].mood"),
        (
            ["messages": [["role": "user", "content": [["type": "image_url", "image_url": ["url": "x"]]]]]],
            "messages[0].content[0].type"
        ),
        (["messages": [["role": "tool", "content": "x"]]], "messages[0].tool_call_id"),
        (["__internal": 1], "__internal"), (["triton_x": 1], "triton_x"), (["api_base": "http://x"], "api_base"),
        (["user_id": 3], "user_id"), (["service_tier": "royal"], "service_tier"),
    ]

    @Test(
        "S01: no address that a request brings is called: there is no field for one",
        arguments: [
            "http://127.0.0.1:1/x", "http://169.254.169.254/latest", "http://[::1]:1/", "http://[::ffff:127.0.0.1]:1/",
            "http://0x7f.1:1/", "http://10.0.0.1/", "file:///etc/passwd", "unix:/run/x.sock", "gopher://x/",
        ]) func noAddressIsCalled(_ address: String) async throws
    {
        try await OpenAIFake.with { fake in
            let url = JSON.string(address)
            let parts: [JSON] = [
                ["type": "image_url", "image_url": ["url": url]], ["type": "file", "file": ["file_url": url]],
                ["type": "video_url", "video_url": ["url": url]],
            ]
            for part in parts {
                let answer = try await fake.post(
                    "/v1/chat/completions", OpenAIFake.chat(["messages": [["role": "user", "content": [part]]]]))
                #expect(answer.status == 400 && answer.text.contains("messages[0].content[0].type"), "\(answer.text)")
            }
            for part: JSON in [["type": "input_image", "image_url": url], ["type": "input_file", "file_url": url]] {
                let body: JSON = ["model": "tiny", "input": [["role": "user", "content": [part]]]]
                let answer = try await fake.post("/v1/responses", body)
                #expect(answer.status == 400 && answer.text.contains("input[0].content[0].type"), "\(answer.text)")
            }
            // As data and as a base an address is a name that nothing has.
            let job: JSON = [
                "kind": "train",
                "recipe": [
                    "name": "m", "base": url, "data": ["source": url], "tuning": "supervised",
                ],
            ]
            let answer = try await fake.post("/api/v1/jobs", job)
            #expect((400...404).contains(answer.status), "\(answer.text)")
            #expect(fake.asked.count == 0)
        }
    }

    @Test("A08, I03, I04, I06, I11: every wrong field is named") func everyWrongFieldIsNamed() async throws {
        try await OpenAIFake.with { fake in
            for (fields, param) in Self.badChats {
                let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat(fields))
                #expect(answer.status == 400, "\(JSON.object(fields).serialized()): \(answer.text)")
                let error = try #require(try answer.json()["error"]?.object)
                #expect(error["param"] == .string(param), "\(answer.text)")
                #expect(error["type"] == "invalid_request_error")
                #expect(error.keys.sorted() == ["code", "message", "param", "type"])
                #expect(answer.headers.first(name: "x-should-retry") == "false")
            }
            #expect(fake.asked.count == 0, "nothing of that came to the replica")
        }
    }

    @Test("I04, I06, A09: numbers past doubles and double keys are refused")
    func numbersPastDoublesAndDoubleKeysAreRefused() async throws {
        try await OpenAIFake.with { fake in
            let messages = "\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
            for text in [
                "{\(messages),\"temperature\":1e400}", "{\(messages),\"max_tokens\":1e400}",
                "{\(messages),\"max_tokens\":9223372036854775808}", "{\(messages),\"model\":\"other\"}",
                "{\(messages),\"temperature\":NaN}", "[1]", "{}", "",
            ] {
                let answer = try await fake.live.post("/v1/chat/completions", text)
                #expect(answer.status == 400, "\(text): \(answer.text)")
            }
            #expect(fake.asked.count == 0)
        }
    }

    @Test func whatIsTakenComesToTheReplica() async throws {
        try await OpenAIFake.with { fake in
            let body = OpenAIFake.chat([
                "messages": [
                    ["role": "developer", "content": "Be brief."],
                    ["role": "user", "content": [["type": "text", "text": "a"], ["type": "text", "text": "b"]]],
                    [
                        "role": "assistant", "content": nil, "refusal": nil, "annotations": [],
                        "tool_calls": [
                            [
                                "id": "call_1", "type": "function",
                                "function": ["name": "f", "arguments": "{\"z\":1,\"a\":[2]}"],
                            ]
                        ],
                    ], ["role": "tool", "tool_call_id": "call_1", "content": "42"],
                ], "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1,
                "presence_penalty": 0.2, "frequency_penalty": -0.2, "seed": -1, "logit_bias": ["7": -100],
                "stop": ["x", "y"], "max_completion_tokens": 9, "min_tokens": 2, "ignore_eos": true, "n": 2,
                "logprobs": true, "top_logprobs": 3, "user": "u", "metadata": ["a": "b"], "store": false,
                "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "reasoning_effort": "low",
                "verbosity": "low", "modalities": ["text"], "audio": ["voice": "x"], "prediction": ["content": "x"],
                "functions": [["name": "g"]], "function_call": "none", "parallel_tool_calls": false, "stream": false,
                "chat_template_kwargs": ["z": nil, "enable_thinking": false, "a": [1, ["k": "v"]]],
                "stream_options": nil,
                "tools": [
                    ["type": "function", "function": ["name": "f", "parameters": ["z": 1, "a": 2], "strict": true]]
                ], "tool_choice": ["type": "function", "function": ["name": "f"]],
            ])
            let answer = try await fake.post("/v1/chat/completions", body)
            #expect(answer.status == 200, "\(answer.text)")
            let asked = try #require(fake.asked.last)
            guard case .chat(let messages, let tools) = asked.prompt else { return #expect(Bool(false)) }
            #expect(messages[0] == ["role": "system", "content": "Be brief."])
            #expect(messages[1]["content"] == "a\nb")
            let call = messages[2]["tool_calls"]?.array?.first?["function"]
            #expect(call?["arguments"]?.object?.keys == ["z", "a"], "keys keep their order")
            #expect(messages[3]["tool_call_id"] == "call_1")
            #expect(tools.first?["function"]?["parameters"]?.object?.keys == ["z", "a"])
            guard case .requiredTools(let named) = asked.form else { return #expect(Bool(false)) }
            #expect(named.map(\.name) == ["f"])
            #expect(asked.choiceCount == 2 && asked.maxTokens == 9 && asked.minTokens == 2 && asked.ignoreEnd)
            #expect(asked.templateVariables == ["z": nil, "enable_thinking": false, "a": [1, ["k": "v"]]])
            #expect(asked.templateVariables.object?.keys == ["z", "enable_thinking", "a"])
            #expect(asked.topLogprobs == 3 && !asked.parallelToolCalls && asked.stop == ["x", "y"])
            #expect(asked.sampling.seed == .max && asked.sampling.logitBias == [7: -100] && asked.sampling.topK == 40)
            #expect(!asked.tenant.isEmpty && !asked.owner.isEmpty)
            #expect(asked.deadlineMicroseconds.map { $0 > 0 } == true)
        }
    }

    @Test func fieldsOfOtherServersAreTakenWhereTheyAskForNothing() async throws {
        try await OpenAIFake.with { fake in
            let neutral: JSONObject = [
                "use_beam_search": false, "length_penalty": 1.0, "early_stopping": false, "skip_special_tokens": true,
                "stop_token_ids": [], "chat_template_kwargs": [:], "options": [:], "cache_prompt": true, "priority": 0,
                "repeat_penalty": 1, "logits_processors": nil, "nobody_knows_this": nil, "stream": true,
                "stream_options": ["include_usage": true, "continuous_usage_stats": true],
            ]
            var text = neutral
            (text["model"], text["prompt"], text["max_completion_tokens"]) = ("tiny", "x", 3)
            for (path, body) in [
                ("/v1/chat/completions", OpenAIFake.chat(neutral)), ("/v1/completions", .object(text)),
            ] {
                let answer = try await fake.post(path, body)
                #expect(answer.status == 200, "\(answer.text)")
            }
            #expect(fake.asked.last?.maxTokens == 3)
            for (fields, remedy) in [
                (["guided_json": ["type": "object"]], "response_format"),
                (["repeat_penalty": 1.1], "repetition_penalty"),
                (["use_beam_search": true], "drawn"), (["enable_thinking": false], "template"),
                (["keep_alive": "5m"], "model_idle_seconds"), (["num_predict": 9], "max_tokens"),
                (["options": ["num_ctx": 9]], "temperature"), (["stop_token_ids": [1]], "stop"),
            ] as [(JSONObject, String)] {
                let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat(fields))
                let error = try answer.json()["error"]
                #expect(answer.status == 400 && error?["param"]?.string == fields.keys.first, "\(answer.text)")
                #expect(error?["message"]?.string?.contains(remedy) == true, "\(answer.text)")
            }
        }
    }

    @Test func theSameInOtherSpellingsIsTaken() async throws {
        try await OpenAIFake.with { fake in
            let body =
                "\u{FEFF}{\"model\": \"tiny\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"max_tokens\": 5.0, "
                + "\"seed\": 42.0, \"n\": 1e0, \"top_k\": 4.0}"
            let answer = try await fake.live.post("/v1/chat/completions", body)
            #expect(answer.status == 200, "\(answer.text)")
            #expect(fake.asked.last?.maxTokens == 5 && fake.asked.last?.sampling.seed == 42)
        }
    }

    /// Hints about what is worth keeping, as other services take them, and as many stops as editors send.
    @Test func whatEditorsAndAgentsSendIsTaken() async throws {
        try await OpenAIFake.with { fake in
            let hint: JSON = ["type": "ephemeral"]
            let stops = (0..<32).map { "stop \($0)" }
            let answer = try await fake.post(
                "/v1/chat/completions",
                OpenAIFake.chat([
                    "messages": [
                        ["role": "system", "content": "a", "cache_control": hint],
                        ["role": "user", "content": [["type": "text", "text": "b", "cache_control": hint]]],
                    ], "stop": .array(stops.map { .string($0) }),
                    "tools": [["type": "function", "function": ["name": "f"], "cache_control": hint]],
                ]))
            #expect(answer.status == 200, "\(answer.text)")
            #expect(fake.asked.last?.stop == stops)
            guard case .chat(let messages, let tools)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
            #expect(messages == [["role": "system", "content": "a"], ["role": "user", "content": "b"]])
            #expect(tools.first?.object?.keys == ["type", "function"])
        }
    }

    @Test func aCallWithoutArgumentsHasNone() async throws {
        try await OpenAIFake.with { fake in
            let call: JSON = ["id": "c", "type": "function", "function": ["name": "now", "arguments": ""]]
            let turns: JSON = [
                ["role": "user", "content": "x"], ["role": "assistant", "content": "", "tool_calls": [call]],
                ["role": "tool", "tool_call_id": "c", "content": "12:00"],
            ]
            let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["messages": turns]))
            #expect(answer.status == 200, "\(answer.text)")
            guard case .chat(let messages, _)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
            #expect(
                messages[1]["tool_calls"]?.array?.first?["function"]?["arguments"] == [:], "templates walk over them")
        }
    }

    @Test func variablesOfTheTemplateComeWithEveryWayToAskForAChat() async throws {
        try await OpenAIFake.with { fake in
            let variables: JSON = ["enable_thinking": false]
            let answer = try await fake.post(
                "/v1/responses", ["model": "tiny", "input": "x", "chat_template_kwargs": variables])
            #expect(answer.status == 200, "\(answer.text)")
            #expect(fake.asked.last?.templateVariables == variables)
            let chat: JSONObject = ["model": "tiny", "messages": [["role": "user", "content": "x"]]]
            for (path, body) in [
                ("/tokenize", chat), ("/v1/responses/input_tokens", ["model": "tiny", "input": "x"]),
            ] as [(String, JSONObject)] {
                var body = body
                body["chat_template_kwargs"] = variables
                #expect(try await fake.post(path, .object(body)).status == 200)
                body["chat_template_kwargs"] = ["tools": []]
                let refused = try await fake.post(path, .object(body))
                #expect(
                    refused.status == 400 && refused.text.contains("has 'tools', which the server"), "\(refused.text)")
            }
            for (path, body) in [
                ("/tokenize", ["model": "tiny", "prompt": "x"]), ("/v1/completions", ["model": "tiny", "prompt": "x"]),
            ] as [(String, JSONObject)] {
                var body = body
                body["chat_template_kwargs"] = variables
                let refused = try await fake.post(path, .object(body))
                #expect(
                    try refused.status == 400 && refused.json()["error"]?["param"] == "chat_template_kwargs",
                    "\(refused.text)")
            }
        }
    }

    @Test func whatOtherLibrariesSayOfAnAnswerComesBack() async throws {
        try await OpenAIFake.with { fake in
            let turns: [JSONObject] = [
                ["provider_specific_fields": ["refusal": nil], "function_call": nil, "annotations": []],
                ["reasoning_content": "hm", "thinking_blocks": nil], ["reasoning": "hm"],
            ]
            for turn in turns {
                var said = turn
                (said["role"], said["content"]) = ("assistant", "a")
                let user: JSON = ["role": "user", "content": "x"]
                let answer = try await fake.post(
                    "/v1/chat/completions", OpenAIFake.chat(["messages": [user, .object(said), user]]))
                #expect(answer.status == 200, "\(answer.text)")
                guard case .chat(let messages, _)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
                let thought = turn["reasoning_content"] ?? turn["reasoning"]
                #expect(messages[1]["reasoning_content"] == thought, "the template may read it")
                #expect(messages[1]["provider_specific_fields"] == nil)
            }
        }
    }

    @Test func someOfTheToolsAreAllowed() async throws {
        try await OpenAIFake.with { fake in
            let parameters: JSON = ["type": "object"]
            let names = ["f", "g", "h"]
            let nested: [JSON] = names.map {
                ["type": "function", "function": ["name": .string($0), "parameters": parameters]]
            }
            let flat: [JSON] = names.map { ["type": "function", "name": .string($0), "parameters": parameters] }
            let tools = ["h", "f"].map { GenerationRequest.Tool(name: $0, parameters: parameters) }
            func choices(_ mode: JSON, _ names: [String]) -> (chat: JSON, response: JSON) {
                let functions = names.map { JSON.object(["name": .string($0)]) }
                let chat = functions.map { JSON.object(["type": "function", "function": $0]) }
                let response = names.map { JSON.object(["type": "function", "name": .string($0)]) }
                return (
                    ["type": "allowed_tools", "allowed_tools": ["mode": mode, "tools": .array(chat)]],
                    ["type": "allowed_tools", "mode": mode, "tools": .array(response)]
                )
            }
            for (mode, form) in [
                ("auto", GenerationRequest.Form.tools(tools)), ("required", .requiredTools(tools)),
            ] {
                let choice = choices(.string(mode), ["h", "f"])
                let response: JSON = [
                    "model": "tiny", "input": "x", "tools": .array(flat), "tool_choice": choice.response,
                ]
                for (path, body) in [
                    ("/v1/chat/completions", OpenAIFake.chat(["tools": .array(nested), "tool_choice": choice.chat])),
                    ("/v1/responses", response),
                ] {
                    let answer = try await fake.post(path, body)
                    #expect(answer.status == 200, "\(answer.text)")
                    #expect(fake.asked.last?.form == form)
                    guard case .chat(_, let described)? = fake.asked.last?.prompt else { return #expect(Bool(false)) }
                    #expect(described.count == 3, "all of them are described")
                }
            }
            for (mode, names, param) in [
                ("auto", ["x"], "tool_choice"), ("auto", [], "tool_choice.allowed_tools.tools"),
                ("some", ["f"], "tool_choice.allowed_tools.mode"),
            ] {
                let choice = choices(.string(mode), names).chat
                let answer = try await fake.post(
                    "/v1/chat/completions", OpenAIFake.chat(["tools": .array(nested), "tool_choice": choice]))
                #expect(
                    try answer.status == 400 && answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
        }
    }

    @Test func toolsAndAFormComeTogether() async throws {
        try await OpenAIFake.with { fake in
            let schema: JSON = ["type": "object", "properties": ["z": ["type": "integer"], "a": ["type": "string"]]]
            let parameters: JSON = ["type": "object", "properties": ["y": [:], "b": [:]]]
            let function: JSONObject = ["name": "f", "parameters": parameters]
            let tools = [GenerationRequest.Tool(name: "f", parameters: parameters)]
            let form: JSONObject = ["name": "x", "schema": schema, "strict": true]
            let cases: [(choice: JSON?, isAny: Bool, GenerationRequest.Form)] = [
                (nil, false, .jsonOrTools(tools, schema: schema)), ("auto", false, .jsonOrTools(tools, schema: schema)),
                ("auto", true, .jsonOrTools(tools, schema: nil)), ("required", false, .requiredTools(tools)),
                (["type": "function", "name": "f"], true, .requiredTools(tools)), ("none", false, .jsonSchema(schema)),
                ("none", true, .jsonObject),
            ]
            for (choice, isAny, expected) in cases {
                var chat: JSONObject = ["tools": [["type": "function", "function": .object(function)]]]
                chat["response_format"] =
                    isAny ? ["type": "json_object"] : ["type": "json_schema", "json_schema": .object(form)]
                chat["tool_choice"] = choice?.object == nil ? choice : ["type": "function", "function": ["name": "f"]]
                var flat = function
                flat["type"] = "function"
                var flatForm = form
                flatForm["type"] = "json_schema"
                var response: JSONObject = ["model": "tiny", "input": "x", "tools": [.object(flat)]]
                response["text"] = ["format": isAny ? ["type": "json_object"] : .object(flatForm)]
                response["tool_choice"] = choice
                for (path, body) in [
                    ("/v1/chat/completions", OpenAIFake.chat(chat)), ("/v1/responses", .object(response)),
                ] {
                    let answer = try await fake.post(path, body)
                    #expect(answer.status == 200, "\(answer.text)")
                    #expect(fake.asked.last?.form == expected, "\(path) \(choice?.serialized() ?? "")")
                    guard case .jsonOrTools(let asked, .some(let text))? = fake.asked.last?.form else { continue }
                    #expect(text["properties"]?.object?.keys == ["z", "a"], "keys keep their order")
                    #expect(asked.first?.parameters["properties"]?.object?.keys == ["y", "b"])
                }
            }
            // The form is read as strictly as ever.
            let bad = OpenAIFake.chat([
                "tools": [["type": "function", "function": .object(function)]], "tool_choice": "required",
                "response_format": ["type": "json_schema"],
            ])
            let answer = try await fake.post("/v1/chat/completions", bad)
            #expect(try answer.status == 400 && answer.json()["error"]?["param"] == "response_format.json_schema")
        }
    }

    @Test func promptsComeInFourKinds() async throws {
        try await OpenAIFake.with { fake in
            let kinds: [(JSON, Int)] = [
                ("one", 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2),
            ]
            for (prompt, count) in kinds {
                let before = fake.asked.count
                let answer = try await fake.post("/v1/completions", ["model": "tiny", "prompt": prompt, "n": 2])
                #expect(answer.status == 200, "\(answer.text)")
                let choices = try #require(try answer.json()["choices"]?.array)
                #expect(choices.count == 2 * count)
                #expect(choices.compactMap { $0["index"]?.int } == Array(0..<2 * count))
                #expect(fake.asked.count - before == count)
                #expect(fake.asked.last?.maxTokens == 16, "OpenAI's own default")
                #expect(try answer.json()["usage"]?["prompt_tokens"]?.int == 5 * count)
            }
            for (fields, param) in [
                (["prompt": []], "prompt"), (["prompt": [1, "a"]], "prompt"), (["prompt": [-1]], "prompt"),
                (["prompt": "x", "best_of": 2], "best_of"), (["prompt": "x", "suffix": "y"], "suffix"),
                (["prompt": "x", "logprobs": 21], "logprobs"),
                (["prompt": "x", "logprobs": 1_000_000_000], "logprobs"),
                (["prompt": "x", "max_tokens": 0], "max_tokens"), (["prompt": "x", "tools": []], "tools"),
                ([:], "prompt"),
            ] as [(JSONObject, String)] {
                var body = fields
                body["model"] = "tiny"
                let answer = try await fake.post("/v1/completions", .object(body))
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["param"] == .string(param), "\(answer.text)")
            }
        }
    }

    @Test func modelsThatAreNotThereAreSaidToBeMissing() async throws {
        try await OpenAIFake.with { fake in
            for model in ["gpt-9", "tiny@9", "../x", "a b", "", String(repeating: "x", count: 4096), "tiny\u{0}"] {
                let answer = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["model": .string(model)]))
                #expect(answer.status == 404, "\(model.prefix(20)): \(answer.text)")
                #expect(try answer.json()["error"]?["code"] == "model_not_found")
                #expect(try answer.json()["error"]?["param"] == "model")
            }
            #expect(try await fake.live.ask(.GET, "/v1/models/nothing").status == 404)
            let shown = try await fake.live.ask(.GET, "/v1/models/tiny@1").json()
            #expect(shown["id"] == "tiny@1" && shown["object"] == "model" && shown["created"]?.int != nil)
            let list = try await fake.live.ask(.GET, "/v1/models").json()
            #expect(list["object"] == "list")
            #expect(list["data"]?.array?.map { $0["id"] } == ["tiny"])
        }
    }

    @Test func filesThatCanHoldCodeAreRefusedBeforeTheyAreRead() async throws {
        try await OpenAIFake.with(models: []) { fake in
            let base = "/api/v1/models/evil/imports"
            let upload = try #require(try await fake.live.ask(.POST, base).json()["upload"]?.string)
            for name in ["model.bin", "a.pt", "A.PKL", "x.npy", "y.joblib", "z.pth", "w.ckpt", "run.py", "noending"] {
                let answer = try await fake.live.ask(.PUT, "\(base)/\(upload)/files/\(name)", body: Data("x".utf8))
                #expect(answer.status == 415, "\(name): \(answer.text)")
                #expect(try answer.json()["error"]?["code"] == "unsupported_format")
            }
            let bad = try await fake.live.ask(.PUT, "\(base)/\(upload)/files/..%2Fx.json", body: Data("x".utf8))
            #expect(bad.status == 404 || bad.status == 400)
            let empty = try await fake.live.ask(.POST, "\(base)/\(upload)/commit")
            #expect(empty.status == 400)
            let data = try await fake.live.ask(.POST, "/api/v1/datasets/d/versions/\(upload)/commit")
            #expect(data.status == 404, "a model's upload is no dataset's")
        }
    }
}
