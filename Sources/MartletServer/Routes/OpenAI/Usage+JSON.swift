import MartletWire

extension GenerationUsage {
    static let none = GenerationUsage(
        promptTokens: 0, cachedTokens: 0, completionTokens: 0, queueMicroseconds: 0, prefillMicroseconds: 0,
        decodeMicroseconds: 0)

    /// Sums over the prompts of one request; numbers of a process are never trusted to fit.
    static func + (left: GenerationUsage, right: GenerationUsage) -> GenerationUsage {
        GenerationUsage(
            promptTokens: left.promptTokens &+ right.promptTokens,
            cachedTokens: left.cachedTokens &+ right.cachedTokens,
            completionTokens: left.completionTokens &+ right.completionTokens,
            queueMicroseconds: left.queueMicroseconds &+ right.queueMicroseconds,
            prefillMicroseconds: left.prefillMicroseconds &+ right.prefillMicroseconds,
            decodeMicroseconds: left.decodeMicroseconds &+ right.decodeMicroseconds)
    }

    /// As chat and text completions have it.
    var completionJSON: JSON {
        [
            "prompt_tokens": JSON(promptTokens), "completion_tokens": JSON(completionTokens),
            "total_tokens": JSON(promptTokens &+ completionTokens),
            "prompt_tokens_details": ["cached_tokens": JSON(cachedTokens), "audio_tokens": 0],
            "completion_tokens_details": [
                "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            ],
        ]
    }

    /// As responses have it.
    var responseJSON: JSON {
        [
            "input_tokens": JSON(promptTokens),
            "input_tokens_details": ["cached_tokens": JSON(cachedTokens), "cache_write_tokens": 0],
            "output_tokens": JSON(completionTokens), "output_tokens_details": ["reasoning_tokens": 0],
            "total_tokens": JSON(promptTokens &+ completionTokens),
        ]
    }
}

/// Log probabilities in the forms of the API.
enum Logprobs {
    /// The API's number for what is practically impossible.
    private static let floor = -9999.0

    static func number(_ value: Double) -> JSON { .double(value.isFinite ? max(value, floor) : floor) }

    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Chat and responses: token, bytes, logprob, top_logprobs.
    static func chat(_ chances: [TokenChance]) -> [JSON] {
        chances.map { chance in
            [
                "token": .string(text(chance.bytes)), "logprob": number(chance.logprob), "bytes": bytes(chance.bytes),
                "top_logprobs": .array(
                    chance.top.map { other in
                        [
                            "token": .string(text(other.bytes)), "logprob": number(other.logprob),
                            "bytes": bytes(other.bytes),
                        ]
                    }),
            ]
        }
    }

    private static func bytes(_ bytes: [UInt8]) -> JSON { .array(bytes.map { JSON(Int($0)) }) }

    /// Text completions: lists side by side. `offset` counts characters of the answer, and is moved on.
    static func completion(_ chances: [TokenChance], offset: inout Int) -> JSON {
        var tokens: [JSON] = [], numbers: [JSON] = [], tops: [JSON] = [], offsets: [JSON] = []
        for chance in chances {
            let token = plain(chance.bytes)
            tokens.append(.string(token))
            // The first token of an echoed prompt has no probability.
            let isKnown = chance.logprob.isFinite
            numbers.append(isKnown ? number(chance.logprob) : .null)
            var top = JSONObject()
            for other in chance.top { top[plain(other.bytes)] = number(other.logprob) }
            tops.append(isKnown ? .object(top) : .null)
            offsets.append(JSON(offset))
            offset += text(chance.bytes).unicodeScalars.count
        }
        return [
            "tokens": .array(tokens), "token_logprobs": .array(numbers), "top_logprobs": .array(tops),
            "text_offset": .array(offsets),
        ]
    }

    /// A token's text; bytes that are no whole characters as `bytes:\xe9\x9b`.
    private static func plain(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let digits = Array("0123456789abcdef")
        return "bytes:" + bytes.map { "\\x\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
    }
}
