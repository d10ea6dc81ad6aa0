import MartletText
import MartletWire

/// The text side of a language model: its tokenizer, chat template and generation config. No tensors; any thread.
public struct LanguageText: Sendable {
    /// Text to tokens; `special` says whether the tokenizer adds its own marks, such as the one that begins a text.
    public var encode: @Sendable (_ text: String, _ special: Bool) throws -> [Int]
    public var decode: @Sendable (_ tokens: [Int]) throws -> String
    /// Messages and tools as the OpenAI API has them, with what the request gives the template beside them → the
    /// prompt's text; nil where the model has no chat template.
    public var render: (@Sendable (_ messages: [JSON], _ tools: [JSON], _ variables: JSONObject) throws -> String)?
    public var vocabulary: TokenVocabulary
    /// How the model writes calls of functions; nil where its template knows none.
    public var toolFormat: ToolCallFormat?
    /// Special tokens that stand for the marks of calls, by their text.
    public var markers: [String: Int] = [:]
    /// Whether the space that the first word of an answer begins with is no part of it: where the tokenizer puts one
    /// before every text and takes it away again, and an answer is a text of its own.
    public var dropsFirstSpace = false
    /// What generation_config.json says of sampling.
    public var sampling: Sampling

    public init(
        encode: @escaping @Sendable (String, Bool) throws -> [Int],
        decode: @escaping @Sendable ([Int]) throws -> String,
        render: (@Sendable ([JSON], [JSON], JSONObject) throws -> String)?, vocabulary: TokenVocabulary,
        sampling: Sampling = Sampling()
    ) {
        self.encode = encode
        self.decode = decode
        self.render = render
        self.vocabulary = vocabulary
        self.sampling = sampling
    }
}
