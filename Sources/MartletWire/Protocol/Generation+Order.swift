// Schemas, tools and messages travel as text: the order of an object's keys is the order in which a constrained answer
// gives its properties and a template prints them, and a general coder does not keep it.

extension GenerationRequest.Prompt {
    private enum Coded: Codable {
        case chat(messages: String, tools: String)
        case text(String)
        case tokens([Int])
    }

    public init(from decoder: any Decoder) throws {
        switch try Coded(from: decoder) {
        case .chat(let messages, let tools):
            self = .chat(messages: try JSON.list(ofText: messages), tools: try JSON.list(ofText: tools))
        case .text(let text): self = .text(text)
        case .tokens(let tokens): self = .tokens(tokens)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .chat(let messages, let tools):
            try Coded.chat(
                messages: JSON.array(messages).serialized(), tools: JSON.array(tools).serialized()
            ).encode(to: encoder)
        case .text(let text): try Coded.text(text).encode(to: encoder)
        case .tokens(let tokens): try Coded.tokens(tokens).encode(to: encoder)
        }
    }
}

extension GenerationRequest.Form {
    private enum Coded: Codable {
        case text, jsonObject
        case jsonSchema(String)
        case tools([GenerationRequest.Tool])
        case requiredTools([GenerationRequest.Tool])
        case jsonOrTools([GenerationRequest.Tool], schema: String?)
    }

    public init(from decoder: any Decoder) throws {
        switch try Coded(from: decoder) {
        case .text: self = .text
        case .jsonObject: self = .jsonObject
        case .jsonSchema(let text): self = .jsonSchema(try JSONParser.parse(text, limits: .trusted))
        case .tools(let tools): self = .tools(tools)
        case .requiredTools(let tools): self = .requiredTools(tools)
        case .jsonOrTools(let tools, let text):
            self = .jsonOrTools(tools, schema: try text.map { try JSONParser.parse($0, limits: .trusted) })
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .text: try Coded.text.encode(to: encoder)
        case .jsonObject: try Coded.jsonObject.encode(to: encoder)
        case .jsonSchema(let schema): try Coded.jsonSchema(schema.serialized()).encode(to: encoder)
        case .tools(let tools): try Coded.tools(tools).encode(to: encoder)
        case .requiredTools(let tools): try Coded.requiredTools(tools).encode(to: encoder)
        case .jsonOrTools(let tools, let schema):
            try Coded.jsonOrTools(tools, schema: schema?.serialized()).encode(to: encoder)
        }
    }
}

extension GenerationRequest.Tool {
    private enum CodingKeys: String, CodingKey { case name, parameters }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let text = try container.decode(String.self, forKey: .parameters)
        self.init(
            name: try container.decode(String.self, forKey: .name),
            parameters: try JSONParser.parse(text, limits: .trusted))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(parameters.serialized(), forKey: .parameters)
    }
}

extension JSON {
    fileprivate static func list(ofText text: String) throws -> [JSON] {
        guard let list = try JSONParser.parse(text, limits: .trusted).array else {
            throw MartletError(.invalidRequest, "messages and tools must be lists of objects")
        }
        return list
    }
}
