import Foundation
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

/// `POST /v1/embeddings`.
struct Embeddings {
    let platform: Platform
    private static let inputLimit = 2048

    private struct Request: Sendable {
        var model: String
        var embedding: EmbeddingRequest
        var isBase64: Bool

        init(_ body: JSON) throws {
            var fields = try RequestFields(body)
            model = try fields.requiredString("model")
            let inputs = try Self.inputs(&fields)
            let dimensions = try fields.int("dimensions", 1...1 << 20)
            isBase64 = try fields.choice("encoding_format", ["float", "base64"]) == "base64"
            fields.ignore("user")
            try fields.finish()
            embedding = EmbeddingRequest(inputs: inputs, dimensions: dimensions)
        }

        private static func inputs(_ fields: inout RequestFields) throws -> [EmbeddingRequest.Input] {
            let value = try fields.required("input")
            if let text = value.string { return [.text(try checked(text, fields))] }
            guard let list = value.array, !list.isEmpty else {
                throw fields.fault(
                    "input", "must be a text, a list of texts, token ids, or lists of token ids; mend it")
            }
            if list.allSatisfy({ $0.double != nil }) { return [.tokens(try TokenIDs.read(list, "input"))] }
            guard list.count <= inputLimit else {
                throw fields.fault("input", "has \(list.count) entries; send at most \(inputLimit)")
            }
            return try list.enumerated().map { index, item in
                if let text = item.string { return .text(try checked(text, fields)) }
                guard let tokens = item.array else {
                    throw fields.fault("input", "has \(item.kind) at \(index); send texts or lists of token ids")
                }
                return .tokens(try TokenIDs.read(tokens, "input[\(index)]"))
            }
        }

        private static func checked(_ text: String, _ fields: RequestFields) throws -> String {
            guard !text.isEmpty else { throw fields.fault("input", "has an empty text; leave it out") }
            return text
        }
    }

    func answer(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let caller = try call.caller()
        let request = try Request(await call.json())
        let deadline = try call.deadlineMicroseconds()
        let text = try await call.departure.whileClientStays {
            try await write(request, deadline: deadline, by: caller)
        }
        return .bytes(ByteBuffer(string: text), type: "application/json")
    }

    /// The same in process.
    func answer(_ body: JSON, deadline: Int?, by caller: Principal) async throws -> JSON {
        try JSONParser.parse(try await write(try Request(body), deadline: deadline, by: caller), limits: .trusted)
    }

    /// The answer as JSON text: vectors are many numbers, so they are written without a tree in between.
    private func write(_ request: Request, deadline: Int?, by caller: Principal) async throws -> String {
        let (reply, bytes) = try await platform.deployments.embed(
            model: request.model, request: request.embedding, by: caller, deadlineMicroseconds: deadline)
        var text = "{\"object\":\"list\",\"data\":["
        let byteCount = reply.width * 4
        for index in request.embedding.inputs.indices {
            let row = bytes[index * byteCount..<(index + 1) * byteCount]
            text += index == 0 ? "" : ","
            text += "{\"object\":\"embedding\",\"index\":\(index),\"embedding\":"
            text += request.isBase64 ? "\"\(Data(row).base64EncodedString())\"" : Self.numbers(row)
            text += "}"
        }
        text += "],\"model\":"
        JSON.quote(request.model, to: &text)
        text += ",\"usage\":{\"prompt_tokens\":\(reply.tokens),\"total_tokens\":\(reply.tokens)}}"
        return text
    }

    /// float32, little-endian, as a JSON list.
    private static func numbers(_ bytes: ArraySlice<UInt8>) -> String {
        var text = "["
        var index = bytes.startIndex
        while index + 4 <= bytes.endIndex {
            let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[index + $1]) << (8 * UInt32($1)) }
            let value = Float(bitPattern: bits)
            if index > bytes.startIndex { text += "," }
            text += value.isFinite ? value.description : "0"
            index += 4
        }
        return text + "]"
    }
}
