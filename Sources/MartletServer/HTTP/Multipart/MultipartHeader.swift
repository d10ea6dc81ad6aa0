import Foundation
import MartletWire

/// What a part of a form is: its field's name and, for a file, the file's.
package struct MultipartHeader: Sendable, Equatable {
    package var name: String
    /// Present for a file, and then possibly empty.
    package var filename: String?
    package var contentType: String?

    /// Reads a part's header lines, without the empty one. Throws `invalidRequest`.
    init(_ bytes: [UInt8]) throws {
        var disposition: String?
        for line in String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n") where !line.isEmpty {
            guard let colon = line.firstIndex(of: ":"), line.first != " ", line.first != "\t" else {
                throw MartletError(.invalidRequest, "a part of the form has a header line that is none; send it anew")
            }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            switch line[..<colon].lowercased() {
            case "content-disposition": disposition = value
            case "content-type": contentType = value
            default: break
            }
        }
        guard let disposition, let fields = Self.parameters(disposition), fields.value == "form-data",
            let name = fields.parameters["name"]
        else {
            throw MartletError(
                .invalidRequest,
                "a part of the form has no 'Content-Disposition: form-data; name=\"…\"'; name each part")
        }
        self.name = Self.percentDecoded(name)
        // RFC 6266: the extended form goes before the plain one.
        if let extended = fields.parameters["filename*"], let text = Self.extended(extended) {
            filename = text
        } else {
            filename = fields.parameters["filename"].map(Self.percentDecoded)
        }
    }

    /// A header's value and its parameters, quoted or not; nil where it is malformed. Names are in lower case, and the
    /// first of two equal ones counts.
    static func parameters(_ text: String) -> (value: String, parameters: [String: String])? {
        var rest = Substring(text)
        let value = rest.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        rest = rest.drop { $0 != ";" }
        var parameters: [String: String] = [:]
        while rest.first == ";" {
            rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
            if rest.isEmpty { break }
            let name = rest.prefix { $0 != "=" && $0 != ";" }
            rest = rest.dropFirst(name.count)
            guard rest.first == "=" else { return nil }
            rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" }
            let read: String
            if rest.first == "\"" {
                guard let quoted = quoted(&rest) else { return nil }
                read = quoted
            } else {
                let token = rest.prefix { $0 != ";" }
                read = token.trimmingCharacters(in: .whitespaces)
                rest = rest.dropFirst(token.count)
            }
            rest = rest.drop { $0 == " " || $0 == "\t" }
            guard rest.isEmpty || rest.first == ";" else { return nil }
            let key = name.trimmingCharacters(in: .whitespaces).lowercased()
            if parameters[key] == nil { parameters[key] = read }
        }
        return (value, parameters)
    }

    /// A quoted string. A backslash escapes a quote or itself, and stands for itself elsewhere: some clients send
    /// Windows paths as they are.
    private static func quoted(_ rest: inout Substring) -> String? {
        var text = ""
        rest = rest.dropFirst()
        while let character = rest.popFirst() {
            switch character {
            case "\"": return text
            case "\\":
                if let next = rest.first, next == "\"" || next == "\\" {
                    text.append(next)
                    rest = rest.dropFirst()
                } else {
                    text.append(character)
                }
            default: text.append(character)
            }
        }
        return nil
    }

    /// HTML's forms write a quote and a line's end as percent codes (and nothing else).
    private static func percentDecoded(_ text: String) -> String {
        guard text.contains("%") else { return text }
        return text.replacingOccurrences(of: "%22", with: "\"").replacingOccurrences(of: "%0D", with: "\r")
            .replacingOccurrences(of: "%0A", with: "\n")
    }

    /// `UTF-8''na%C3%AFve.txt` (RFC 8187); nil for another character set or broken codes.
    private static func extended(_ text: String) -> String? {
        let parts = text.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].lowercased() == "utf-8" else { return nil }
        return parts[2].removingPercentEncoding
    }
}
