import Foundation
import MartletWire

/// What can be told of a tokenizer.json without making a tokenizer of it.
public enum TokenizerFile {
    /// The token that the file gives the highest identifier, with that identifier; nil where it has no tokens.
    ///
    /// Tokens are told apart by their bytes: vocabularies have some that Unicode, and so `String`, calls equal.
    /// - Throws: `invalidData` where the file is damaged or has no vocabulary, or an identifier is no whole number.
    public static func highest(_ json: some ContiguousBytes) throws -> (token: String, id: Int)? {
        let tape = try JSONTape(json.withUnsafeBytes { [UInt8]($0) })
        var found: (node: Int?, id: Int)?
        func see(_ token: Int?, _ id: Int?) throws {
            guard let id else {
                let name = try text(tape, token)
                throw MartletError(
                    .invalidData, "tokenizer.json gives '\(name)' no whole number from 0 on as its id; export it again")
            }
            if id > found?.id ?? -1 { found = (token, id) }
        }
        let vocabulary = tape.value("model", of: 0).flatMap { tape.value("vocab", of: $0) }
        guard let vocabulary, [.object, .array].contains(tape.nodes[vocabulary].kind) else {
            throw MartletError(.invalidData, "tokenizer.json has no vocabulary; export it again")
        }
        if tape.nodes[vocabulary].kind == .object {
            try tape.forEachPair(of: vocabulary) { key, value in try see(key, tape.index(value)) }
        } else {
            // A piece's place is its identifier.
            let pieces = tape.elements(of: vocabulary)
            if let last = pieces.last {
                try see(tape.nodes[last].kind == .array ? tape.elements(of: last).first : nil, pieces.count - 1)
            }
        }
        if let added = tape.value("added_tokens", of: 0), tape.nodes[added].kind == .array {
            for token in tape.elements(of: added) {
                try see(tape.value("content", of: token), tape.value("id", of: token).flatMap(tape.index))
            }
        }
        return try found.map { (try text(tape, $0.node), $0.id) }
    }

    private static func text(_ tape: JSONTape, _ node: Int?) throws -> String {
        guard let node, tape.nodes[node].kind == .string else { return "" }
        return String(decoding: try tape.string(node), as: UTF8.self)
    }
}
