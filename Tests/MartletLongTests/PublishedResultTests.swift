import Foundation
import MartletTesting
import MartletWire
import Testing

extension LongTests {
    /// What others published, reached with the recipes that users have.
    @Suite struct PublishedResults {
        private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        /// A megabyte of Shakespeare; it does not lie in the repository.
        private static let text =
            ProcessInfo.processInfo.environment["MARTLET_TEST_SHAKESPEARE"]
            ?? root.deletingLastPathComponent().appendingPathComponent("shared/data/tinyshakespeare.txt").path

        @Test(
            "nanoGPT's character model for a CPU reaches its published validation loss of 1.88, within 0.02",
            .enabled(
                if: FileManager.default.fileExists(atPath: text),
                "MARTLET_TEST_SHAKESPEARE names the file of tinyshakespeare's text"))
        func shakespeare() async throws {
            try await TestHome.with { home in
                try home.json("data", "add", "shakespeare", Self.text)
                let recipe = Self.root.appendingPathComponent("examples/shakespeare.yaml").path
                let trained = try home.run("train", recipe, seconds: 900)
                try #require(trained.code == 0, "\(trained.errors)")
                let model = try home.json("models", "show", "shakespeare")
                let perplexity = try #require(
                    model["card"]?["metrics"]?["validation"]?["perplexity"]?.double, "\(model.serialized())")
                #expect(log(perplexity) <= 1.90)
            }
        }
    }
}
