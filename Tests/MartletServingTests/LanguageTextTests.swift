import Foundation
import MartletModels
import MartletServing
import MartletWire
import Testing

/// What a folder says of sampling is what requests take that leave it out.
@Suite struct LanguageTextTests {
    private static let tiny = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/tiny-llama")

    private static func text(_ config: String) throws -> LanguageText {
        let folder = FileManager.default.temporaryDirectory.appending(path: "text-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: tiny, to: folder)
        try Data(config.utf8).write(to: folder.appending(path: "generation_config.json"))
        return try LanguageText(ModelFolder(folder))
    }

    @Test func samplingIsTakenFromTheGenerationConfig() throws {
        let sampling = try Self.text(
            #"{"temperature":0.5,"top_k":20,"top_p":0.9,"min_p":null,"repetition_penalty":1.1,"do_sample":true}"#
        ).sampling
        #expect(
            sampling == Sampling(temperature: 0.5, topK: 20, topP: 0.9, minP: nil, repetitionPenalty: 1.1))
    }

    /// The tokenizer's own go before the request's, whatever a server let pass.
    @Test func variablesOfARequestAreTheTemplates() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "text-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.copyItem(at: Self.tiny, to: folder)
        try Data("{{ mood | default('none') }} {{ messages | length }} {{ bos_token == 'x' }}".utf8)
            .write(to: folder.appending(path: "chat_template.jinja"))
        let render = try #require(try LanguageText(ModelFolder(folder)).render)
        #expect(try render([], [], [:]) == "none 0 False")
        #expect(try render([], [], ["mood": "good", "messages": [1, 2], "bos_token": "x"]) == "good 0 False")
    }

    @Test(arguments: [
        ("temperature", "-1"), ("temperature", "\"0.7\""), ("top_k", "2.5"), ("top_k", "-2"), ("top_p", "1.5"),
        ("min_p", "true"), ("repetition_penalty", "0"),
    ]) func aSettingThatNoRequestCouldBeAnsweredWithIsRefused(_ key: String, _ value: String) {
        let error = #expect(throws: MartletError.self) { try Self.text("{\"\(key)\":\(value)}") }
        #expect(error?.code == .invalidData)
        #expect(error?.message.contains("'\(key)' of generation_config.json") == true, "\(error?.message ?? "")")
    }
}
