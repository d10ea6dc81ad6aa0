import MartletWire

/// Fields that other servers take beside OpenAI's, and that clients made for those send here too. Where the value asks
/// for nothing it is taken; otherwise the answer says what to do in its place.
enum OtherServers {
    private static let template = "a template is part of the model; import the model with the one you want"
    private static let variable =
        "what the chat template reads beside the messages goes into chat_template_kwargs, under the template's own name for "
        + "it: {\"enable_thinking\": false}"
    private static let form =
        "use response_format of /v1/chat/completions with a JSON schema; its enum and pattern hold texts to a list and to "
        + "an expression"
    private static let beams = "answers are drawn and not searched for with beams; leave it out"
    private static let shape = "use top_p, top_k or min_p"
    private static let special = "special tokens are no part of an answer's text; leave it out"
    private static let ids = "ask /tokenize for the ids of a text"

    private static let fields: [(name: String, neutral: [JSON], why: String)] = [
        ("chat_template", [], template), ("enable_thinking", [], variable), ("think", [], variable),
        ("thinking", [], variable),
        ("add_generation_prompt", [true], "an answer is a turn of its own; use /v1/completions to go on with a text"),
        ("continue_final_message", [false], "an answer is a turn of its own; use /v1/completions to go on with a text"),
        ("documents", [[]], "put their texts into the messages"),
        ("guided_json", [], form), ("guided_regex", [], form), ("guided_choice", [], form),
        ("guided_grammar", [], form), ("structured_outputs", [], form), ("grammar", [""], form),
        ("json_schema", [], form),
        ("use_beam_search", [false], beams), ("length_penalty", [1, 1.0], beams), ("early_stopping", [false], beams),
        ("typical_p", [1, 1.0], shape), ("tfs_z", [1, 1.0], shape), ("top_a", [0, 0.0], shape),
        ("mirostat", [0], shape), ("repeat_penalty", [1, 1.0], "use repetition_penalty"),
        ("num_predict", [-1], "use max_tokens"), ("n_predict", [-1], "use max_tokens"),
        ("skip_special_tokens", [true], special), ("spaces_between_special_tokens", [true, false], special),
        ("include_stop_str_in_output", [false], "a stop text is no part of the answer; leave it out"),
        ("stop_token_ids", [[]], "give the tokens' texts as stop"),
        ("bad_words", [[]], "give their tokens a logit_bias of -100"),
        ("allowed_token_ids", [[]], "use response_format or logit_bias"),
        ("prompt_logprobs", [], "ask /v1/completions with echo and logprobs"),
        ("truncate_prompt_tokens", [], "shorten the prompt; /tokenize counts its tokens"),
        ("return_token_ids", [false], ids), ("return_tokens_as_token_ids", [false], ids),
        ("priority", [0], "each key has its turn; what may wait belongs into a batch"),
        ("cache_prompt", [true], "beginnings that prompts share are always kept; leave it out"),
        ("options", [[:]], "give temperature, top_k, max_tokens and the like as fields of their own"),
        ("keep_alive", [], "the configuration's model_idle_seconds says how long an idle model stays"),
    ]

    private static let responseForm =
        "use text.format with a JSON schema; its enum and pattern hold texts to a list and to an expression"
    private static let chat = "of /v1/chat/completions"

    /// What is done otherwise in `/v1/responses`, whose fields have other names.
    private static let inResponses: [String: String] = [
        "documents": "put their texts into the input",
        "guided_json": responseForm, "guided_regex": responseForm, "guided_choice": responseForm,
        "guided_grammar": responseForm, "structured_outputs": responseForm, "grammar": responseForm,
        "json_schema": responseForm,
        "repeat_penalty": "use repetition_penalty \(chat)",
        "num_predict": "use max_output_tokens", "n_predict": "use max_output_tokens",
        "stop_token_ids": "give the tokens' texts as stop \(chat)",
        "bad_words": "give their tokens a logit_bias of -100 \(chat)",
        "allowed_token_ids": "use text.format, or logit_bias \(chat)",
        "truncate_prompt_tokens": "use truncation: auto, or shorten the input",
        "options": "give temperature, top_k, max_output_tokens and the like as fields of their own",
    ]

    /// Throws `invalidRequest` that names the field and what to do in its place.
    static func refuse(_ request: inout RequestFields, inResponse: Bool = false) throws {
        // Those that are not there are not offered as what a misspelt field may have meant.
        for field in fields where request.object[field.name] != nil {
            let why = inResponse ? inResponses[field.name] ?? field.why : field.why
            try request.unsupported(field.name, neutral: field.neutral, why)
        }
    }
}
