import Foundation
import MartletWire

/// A folder in Hugging Face's form: what is in it, with everything but the weights and the tokenizer read.
public struct ModelFolder: Sendable {
    public let url: URL
    public private(set) var config: JSON
    /// The rules of sampling that the model came with.
    public let generationConfig: JSON?
    public let tokenizerConfig: JSON?
    /// The default chat template's source.
    public let chatTemplate: String?
    /// Templates by name, such as `tool_use`, where the folder has several.
    public let namedTemplates: [String: String]
    /// What was left aside and why, for the model's card.
    public let findings: [String]

    /// The most bytes of a JSON file other than the tokenizer and the index.
    static let jsonLimit = 16 << 20

    /// - Throws: `MartletError` that names the file and what is wrong with it.
    public init(_ url: URL) throws {
        self.url = url
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
            throw MartletError(.notFound, "there is no folder '\(url.lastPathComponent)'")
        }
        guard let config = try ModelFolder.optionalJSON(url, "config.json") else {
            throw MartletError(.notFound, "the folder '\(url.lastPathComponent)' has no config.json")
        }
        self.config = config
        generationConfig = try ModelFolder.optionalJSON(url, "generation_config.json")
        tokenizerConfig = try ModelFolder.optionalJSON(url, "tokenizer_config.json")
        let templates = try ModelFolder.templates(url, tokenizerConfig)
        namedTemplates = templates
        chatTemplate = templates["default"]
        findings = ["config.json": config, "tokenizer_config.json": tokenizerConfig ?? .null]
            .sorted { $0.key < $1.key }
            .flatMap { name, json in
                ["auto_map", "trust_remote_code", "custom_pipelines"].compactMap { key in
                    json[key].flatMap { $0.isNull ? nil : "'\(key)' of \(name) names code; it was not run" }
                }
            }
    }

    /// The same folder, read as if its config.json were this.
    func with(config: JSON) -> ModelFolder {
        var folder = self
        folder.config = config
        return folder
    }

    /// The file of the tokenizer, where there is one.
    public var tokenizer: URL? { file("tokenizer.json") }

    /// The tokens that the generation config, or else the config, calls ends: a number or several.
    public var endTokens: Set<Int> {
        let named = generationConfig?["eos_token_id"] ?? config["eos_token_id"]
        // Some say "none" with -1.
        return Set((named?.array ?? [named].compactMap { $0 }).compactMap(\.int).filter { $0 >= 0 })
    }

    /// A file of the folder by its name, where there is one.
    public func file(_ name: String) -> URL? {
        let file = url.appending(path: name)
        return FileManager.default.fileExists(atPath: file.path) ? file : nil
    }

    /// A template of its own file goes before those in tokenizer_config.json.
    private static func templates(_ url: URL, _ tokenizerConfig: JSON?) throws -> [String: String] {
        var found: [String: String] = [:]
        switch tokenizerConfig?["chat_template"] {
        case .string(let text): found["default"] = text
        case .array(let list):
            for item in list {
                if let name = item["name"]?.string, let text = item["template"]?.string { found[name] = text }
            }
        default: break
        }
        if let text = try optionalJSON(url, "chat_template.json")?["chat_template"]?.string { found["default"] = text }
        if let data = try data(url.appending(path: "chat_template.jinja"), limit: jsonLimit) {
            guard let text = String(validating: data, as: UTF8.self) else {
                throw MartletError(.invalidData, "chat_template.jinja is not UTF-8")
            }
            found["default"] = text
        }
        return found
    }

    private static func optionalJSON(_ folder: URL, _ name: String) throws -> JSON? {
        let url = folder.appending(path: name)
        guard FileManager.default.fileExists(atPath: url.path) else { return nil }
        return try json(url, limit: jsonLimit)
    }

    static func json(_ url: URL, limit: Int) throws -> JSON {
        guard let data = try data(url, limit: limit) else {
            throw MartletError(.notFound, "the file '\(url.lastPathComponent)' does not exist")
        }
        do {
            return try JSONParser.parse(data, limits: .request)
        } catch let error as MartletError {
            throw MartletError(.invalidData, "'\(url.lastPathComponent)' is not valid JSON: \(error.message)")
        }
    }

    /// A file's bytes; nil where there is none.
    static func data(_ url: URL, limit: Int) throws -> Data? {
        guard let file = FileHandle(forReadingAtPath: url.path) else { return nil }
        do {
            let size = try file.seekToEnd()
            guard size <= UInt64(limit) else {
                throw MartletError(
                    .tooLarge, "'\(url.lastPathComponent)' has \(size) bytes; at most \(limit) are read")
            }
            try file.seek(toOffset: 0)
            return try file.readToEnd() ?? Data()
        } catch let error as MartletError {
            throw error
        } catch {
            throw MartletError(.invalidData, "'\(url.lastPathComponent)' cannot be read")
        }
    }
}
