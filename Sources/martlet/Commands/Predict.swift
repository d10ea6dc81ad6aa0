import ArgumentParser
import Foundation
import MartletWire
import NIOCore

struct Predict: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a deployment about rows (CSV, JSON, JSON lines) or an image.")
    @Argument(help: "The deployment, or a model.") var deployment: String
    @Option(help: "A file, or - for standard input.") var input: String
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let bytes: Data
        if input == "-" {
            bytes = try FileHandle.standardInput.readToEnd() ?? Data()
        } else {
            guard let data = FileManager.default.contents(atPath: input) else {
                throw MartletError(.notFound, "the file '\(input)' cannot be read; check the path")
            }
            bytes = data
        }
        let content = try PredictInput.read(bytes, name: input)
        let answer: JSON = try await Connection.with(options) { client in
            let response = try await client.request(
                .POST, "/api/v1/deployments/\(Client.segment(deployment))/predict",
                body: .bytes(ByteBuffer(data: content.body)), headers: [("Content-Type", content.contentType)])
            return try JSONParser.parse(Data(buffer: try await Client.collect(response)), limits: .trusted)
        }
        if options.json { return try options.output.show(answer) { _ in "" } }
        print(Console.inert(PredictText.of(answer, form: content.form)), terminator: "")
    }
}
