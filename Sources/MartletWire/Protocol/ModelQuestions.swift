/// What a training job's graders want to hear from models, asked at once.
public struct ModelQuestions: Codable, Sendable, Equatable {
    /// Most questions of one message.
    public static let countLimit = 32

    /// Bodies of `POST /v1/chat/completions`, as JSON texts.
    public var bodies: [String]
    public init(bodies: [String]) { self.bodies = bodies }
}

/// What the models said, in the order of the questions.
public struct ModelAnswers: Codable, Sendable, Equatable {
    public var texts: [String]
    public init(texts: [String]) { self.texts = texts }
}
