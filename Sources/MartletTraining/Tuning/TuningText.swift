import Foundation
import MartletData
import MartletModels
import MartletText
import MartletWire

/// The text side of a model that is tuned: how a line becomes the tokens that serving would see.
///
/// A prompt is cut as serving cuts it, so that what is learnt after it is what is generated after it.
struct TuningText {
    let tokenizer: Tokenizer
    let template: ChatTemplate?
    let contextLength: Int
    /// Tokens that end an answer.
    let endTokens: Set<Int>
    /// SHA-256 of what the tokens hang on, by `tokenizer` and `template`.
    let hashes: [String: String]
    private let variables: [String: JSON]
    private let vocabularyCount: Int

    /// - Throws: `invalidData` where the folder has no tokenizer or a damaged one.
    init(_ folder: ModelFolder, geometry: LanguageGeometry) throws {
        guard let file = folder.tokenizer, let json = FileManager.default.contents(atPath: file.path) else {
            throw MartletError(
                .invalidData, "the base has no tokenizer.json, so nothing can be learnt from text; import it with one",
                param: "base")
        }
        let config = folder.file("tokenizer_config.json").flatMap { FileManager.default.contents(atPath: $0.path) }
        tokenizer = try Tokenizer(json: json, config: config)
        template = try folder.chatTemplate.map { try ChatTemplate($0) }
        contextLength = geometry.contextLength
        vocabularyCount = geometry.vocabularyCount
        endTokens = folder.endTokens.union([tokenizer.endToken].compactMap { $0 })
        variables = tokenizer.templateVariables
        var hashes = ["tokenizer": tokenizer.contentHash]
        hashes["template"] = folder.chatTemplate.map { ContentHash.of($0) }
        self.hashes = hashes
    }

    /// The examples of a line, and remarks that a person should hear once.
    /// - Throws: `invalidData` that says what is wrong with the line.
    func examples(_ line: TuningLine) throws -> (examples: [TokenExample], remarks: [String]) {
        var remarks: [String] = []
        var examples: [TokenExample] =
            switch line {
            case .chat(let conversation): try chat(conversation, &remarks)
            case .completion(let prompt, let completion): [try self.completion(prompt, completion)]
            case .preference(let preferred, let other):
                [try answer(preferred, &remarks), try answer(other, &remarks)]
            case .prompt(let conversation, _): [try prompt(conversation)]
            }
        let isPrompt = if case .prompt = line { true } else { false }
        for index in examples.indices {
            // Nothing stands before the first token that it could be predicted from.
            if !examples[index].isLearnt.isEmpty { examples[index].isLearnt[0] = false }
            try check(examples[index], learns: !isPrompt)
        }
        return (examples, remarks)
    }

    private func check(_ example: TokenExample, learns: Bool) throws {
        guard example.tokens.count <= contextLength else {
            throw MartletError(
                .invalidData,
                "it has \(example.tokens.count) tokens, and the model's context is \(contextLength); shorten it")
        }
        guard learns || example.tokens.count < contextLength else {
            throw MartletError(
                .invalidData,
                "it has \(example.tokens.count) tokens, which leaves no room for an answer in the context of "
                    + "\(contextLength); shorten it")
        }
        guard !learns || example.isLearnt.contains(true), !example.tokens.isEmpty else {
            throw MartletError(.invalidData, "it has no token to learn; give the assistant something to say")
        }
        if let token = example.tokens.first(where: { $0 < 0 || $0 >= vocabularyCount }) {
            throw MartletError(
                .invalidData,
                "the tokenizer gives token \(token), and the model has \(vocabularyCount); import a base "
                    + "whose tokenizer fits it")
        }
    }

    // MARK: Conversations

    func render(_ messages: [JSON], _ tools: [JSON], prompts: Bool) throws -> String {
        try rendering(messages, tools, prompts: prompts).text
    }

    private func rendering(_ messages: [JSON], _ tools: [JSON], prompts: Bool) throws -> ChatTemplate.Rendering {
        guard let template else {
            throw MartletError(
                .invalidData,
                "it has messages, and the base has no chat template; give prompt and completion, or import the base with "
                    + "its template")
        }
        return try template.rendering(
            messages: messages, tools: tools, addGenerationPrompt: prompts, variables: variables)
    }

    private func prompt(_ conversation: TuningConversation) throws -> TokenExample {
        let text = try render(conversation.messages, conversation.tools, prompts: true)
        let tokens = try tokenizer.ids(of: text, addSpecialTokens: false).map { Int64($0) }
        return TokenExample(tokens: tokens, isLearnt: Array(repeating: false, count: tokens.count))
    }

    /// One example for the whole conversation, where the template goes on from each prompt as serving would; else one
    /// for each answer, in the form in which serving would see it.
    private func chat(_ conversation: TuningConversation, _ remarks: inout [String]) throws -> [TokenExample] {
        let all = try rendering(conversation.messages, conversation.tools, prompts: false)
        let assistants = conversation.messages.indices.filter {
            conversation.messages[$0]["role"]?.string == "assistant"
        }
        if all.generated.count == assistants.count, !all.generated.isEmpty {
            let spans = zip(assistants, all.generated).filter { conversation.learnt.contains($0.0) }.map(\.1)
            return [try learn(all.text, spans, special: false, &remarks)]
        }
        var turns: [(text: String, span: Range<Int>)] = []
        for place in conversation.learnt {
            turns.append(try turn(conversation, place, whole: all.text))
        }
        let bytes = all.text.utf8
        let isStable = turns.allSatisfy { bytes.starts(with: $0.text.utf8) }
        guard isStable else {
            remarks.append(
                "the chat template writes earlier turns otherwise once others follow; such a conversation is cut into one "
                    + "example for each answer, as serving sees them")
            return try turns.map { try learn($0.text, [$0.span], special: false, &remarks) }
        }
        return [try learn(all.text, turns.map(\.span), special: false, &remarks)]
    }

    /// A conversation whose last message alone is learnt.
    private func answer(_ conversation: TuningConversation, _ remarks: inout [String]) throws -> TokenExample {
        let last = conversation.messages.count - 1
        let whole = try render(conversation.messages, conversation.tools, prompts: false)
        let turn = try turn(conversation, last, whole: whole)
        return try learn(turn.text, [turn.span], special: false, &remarks)
    }

    /// The text that ends with the message at `place`, and where what the assistant writes stands in its UTF-8.
    private func turn(
        _ conversation: TuningConversation, _ place: Int, whole: String
    ) throws -> (text: String, span: Range<Int>) {
        let prompt = try render(Array(conversation.messages[..<place]), conversation.tools, prompts: true)
        let text =
            place == conversation.messages.count - 1
            ? whole : try render(Array(conversation.messages[...place]), conversation.tools, prompts: false)
        let (asked, answered) = (prompt.utf8.count, text.utf8.count)
        guard text.utf8.starts(with: prompt.utf8), answered > asked else {
            let common = zip(prompt.unicodeScalars, text.unicodeScalars).prefix { $0 == $1 }.count
            func shown(_ text: String) -> String {
                let scalars = text.unicodeScalars.dropFirst(common).prefix(24)
                return scalars.isEmpty ? "its end" : "'\(String(String.UnicodeScalarView(scalars)))'"
            }
            throw MartletError(
                .invalidData,
                "messages[\(place)] does not go on from its prompt in the model's chat template: after \(common) "
                    + "characters the prompt has \(shown(prompt)), the conversation \(shown(text)); such a template cannot "
                    + "be trained on, so mend it or take another base")
        }
        return (text, asked..<answered)
    }

    private func completion(_ prompt: String, _ completion: String) throws -> TokenExample {
        let whole = prompt + completion
        var example = try tokens(whole, [prompt.utf8.count..<whole.utf8.count], special: true)
        if let end = tokenizer.endToken ?? endTokens.min(), example.tokens.last != Int64(end) {
            example.tokens.append(Int64(end))
            example.isLearnt.append(true)
        }
        return example
    }

    // MARK: Tokens

    private func learn(
        _ text: String, _ spans: [Range<Int>], special: Bool, _ remarks: inout [String]
    ) throws -> TokenExample {
        var example = try tokens(text, spans, special: special)
        if !trimAfterEnds(&example) {
            remarks.append(
                "an assistant's turn ends without one of the model's end tokens, so the model does not learn to stop "
                    + "there; check the chat template")
        }
        return example
    }

    /// The tokens of a text, those of `spans` learnt. Where a span does not begin at a token's edge, the text before it
    /// and the text from it on are cut apart, since serving cuts the prompt alone.
    private func tokens(_ text: String, _ spans: [Range<Int>], special: Bool) throws -> TokenExample {
        let bytes = Array(text.utf8)
        let encoding = try tokenizer.encode(text, addSpecialTokens: special)
        // Too long is too long, however it is cut.
        guard encoding.count <= 2 * contextLength else {
            let tokens = encoding.ids.map { Int64($0) }
            return TokenExample(tokens: tokens, isLearnt: Array(repeating: false, count: tokens.count))
        }
        var starts: [Int] = []
        for span in spans {
            let before = try tokenizer.ids(
                of: String(decoding: bytes[..<span.lowerBound], as: UTF8.self), addSpecialTokens: special)
            guard encoding.ids.starts(with: before) else { return try pieces(bytes, spans, special: special) }
            starts.append(before.count)
        }
        var example = TokenExample(
            tokens: encoding.ids.map { Int64($0) }, isLearnt: Array(repeating: false, count: encoding.count))
        for (start, span) in zip(starts, spans) {
            let end = Self.scalarCount(bytes[..<span.upperBound])
            for place in start..<max(start, encoding.count)
            where encoding.specialMask[place] || encoding.offsets[place].lowerBound < end {
                example.isLearnt[place] = !encoding.specialMask[place]
            }
        }
        return example
    }

    private func pieces(_ bytes: [UInt8], _ spans: [Range<Int>], special: Bool) throws -> TokenExample {
        var example = TokenExample(tokens: [], isLearnt: [])
        func append(_ range: Range<Int>, isLearnt: Bool, special: Bool) throws {
            guard !range.isEmpty || special else { return }
            let tokens = try tokenizer.ids(
                of: String(decoding: bytes[range], as: UTF8.self), addSpecialTokens: special)
            example.tokens += tokens.map { Int64($0) }
            example.isLearnt += Array(repeating: isLearnt, count: tokens.count)
        }
        var done = 0
        for (index, span) in spans.enumerated() {
            try append(done..<span.lowerBound, isLearnt: false, special: special && index == 0)
            try append(span, isLearnt: true, special: false)
            done = span.upperBound
        }
        try append(done..<bytes.count, isLearnt: false, special: false)
        return example
    }

    private static func scalarCount(_ bytes: ArraySlice<UInt8>) -> Int { bytes.count { $0 & 0xC0 != 0x80 } }

    /// Takes the loss off the space that templates put after the token that ends a turn: serving stops before it.
    /// - Returns: whether every turn has such a token.
    private func trimAfterEnds(_ example: inout TokenExample) -> Bool {
        var hasEnds = true
        var place = 0
        while place < example.tokens.count {
            guard example.isLearnt[place] else {
                place += 1
                continue
            }
            let end = example.isLearnt[place...].firstIndex(of: false) ?? example.tokens.count
            if let last = (place..<end).last(where: { endTokens.contains(Int(example.tokens[$0])) }) {
                let rest = tokenizer.decode(example.tokens[(last + 1)..<end].map { Int($0) }, skipSpecialTokens: false)
                if rest.allSatisfy(\.isWhitespace) {
                    for after in (last + 1)..<end { example.isLearnt[after] = false }
                } else {
                    hasEnds = false
                }
            } else {
                hasEnds = false
            }
            place = end
        }
        return hasEnds
    }
}
