import Foundation
import MartletServer
import MartletWire
import Testing

/// A form's bytes.
struct Form {
    static let boundary = "b0undary"
    private(set) var body = Data()

    mutating func add(_ header: String, _ content: Data) {
        body += Data("--\(Self.boundary)\r\n\(header)\r\n\r\n".utf8) + content + Data("\r\n".utf8)
    }

    mutating func field(_ name: String, _ value: String) {
        add("Content-Disposition: form-data; name=\"\(name)\"", Data(value.utf8))
    }

    mutating func file(_ name: String = "file", _ filename: String = "train.jsonl", _ content: Data) {
        add(
            "Content-Disposition: form-data; name=\"\(name)\"; filename=\"\(filename)\"\r\n"
                + "Content-Type: application/octet-stream", content)
    }

    var closed: Data { body + Data("--\(Self.boundary)--\r\n".utf8) }
    static let headers = [("Content-Type", "multipart/form-data; boundary=\(boundary)")]
}

@Suite("Forms, as their bytes come") struct MultipartTests {
    /// The parts of a body that comes in pieces of these sizes, by turns.
    private func parts(
        _ body: Data, pieces: [Int], boundary: String = Form.boundary
    ) throws -> [(header: MultipartHeader, content: [UInt8])] {
        var parser = try MultipartParser(boundary: boundary)
        var found: [(header: MultipartHeader, content: [UInt8])] = []
        var open = false
        var (start, turn) = (0, 0)
        let bytes = [UInt8](body)
        while start < bytes.count {
            let end = min(bytes.count, start + pieces[turn % pieces.count])
            try bytes[start..<end].withUnsafeBytes { piece in
                try parser.feed(piece) { event in
                    switch event {
                    case .part(let header):
                        #expect(!open)
                        open = true
                        found.append((header, []))
                    case .data(let bytes):
                        #expect(open)
                        found[found.count - 1].content += bytes
                    case .partEnd:
                        #expect(open)
                        open = false
                    }
                }
            }
            (start, turn) = (end, turn + 1)
        }
        try parser.finish()
        return found
    }

    @Test func everySplitGivesTheSameParts() throws {
        var form = Form()
        form.field("purpose", "fine-tune")
        let tricky = Data("a\r\n--b0undar\r\n--b0undaryX\r\n-\r\n--b0undary-\r\n\r\n\r".utf8)
        form.file("file", "雨燕.jsonl", tricky)
        form.file("empty", "", Data())
        form.add("content-disposition: FORM-DATA; NAME=last", Data("x".utf8))
        let body =
            Data("a preamble\r\nof two lines\r\n".utf8) + form.closed + Data("an epilogue\r\n--b0undary\r\n".utf8)
        for size in 1...(body.count) {
            let parts = try parts(body, pieces: [size])
            try #require(parts.count == 4)
            #expect(parts.map(\.header.name) == ["purpose", "file", "empty", "last"])
            #expect(parts[0].content == Array("fine-tune".utf8) && parts[0].header.filename == nil)
            #expect(parts[1].content == [UInt8](tricky) && parts[1].header.filename == "雨燕.jsonl")
            #expect(parts[2].content.isEmpty && parts[2].header.filename == "")
            #expect(parts[3].content == Array("x".utf8))
        }
    }

    @Test(arguments: [
        ("filename=\"a b.txt\"", "a b.txt"), ("filename=plain.txt", "plain.txt"), ("filename=\"a;b.txt\"", "a;b.txt"),
        (#"filename="a\"b\\c.txt""#, #"a"b\c.txt"#), (#"filename="C:\data\x.txt""#, #"C:\data\x.txt"#),
        ("filename=\"a%22b.txt\"", "a\"b.txt"), ("filename=\"100%.txt\"", "100%.txt"),
        ("filename=\"x.txt\"; filename*=UTF-8''%E9%9B%A8.txt", "雨.txt"),
        ("filename*=utf-8'en'na%C3%AFve.txt", "naïve.txt"),
        ("filename=\"x.txt\"; filename*=KOI8-R''%C1", "x.txt"), ("filename=\"x.txt\"; filename*=UTF-8''%FF", "x.txt"),
        ("filename=\"一.jsonl\"", "一.jsonl"), ("filename=\"x.txt\" ; other=1", "x.txt"),
    ])
    func filenames(_ parameter: String, _ expected: String) throws {
        var form = Form()
        form.add("Content-Disposition: form-data; name=\"file\"; \(parameter)", Data("x".utf8))
        #expect(try parts(form.closed, pieces: [7]).first?.header.filename == expected)
    }

    @Test(arguments: [
        "", "--b0undary", "--b0undary\r\n", "--b0undary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx",
        "--b0undary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b0undary",
        "--b0undary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b0undary-",
        "--b0undary\n\nContent-Disposition: form-data; name=\"a\"\n\nx\n--b0undary--",
        "--b0undary\r\nContent-Type: text/plain\r\n\r\nx\r\n--b0undary--\r\n",
        "--b0undary\r\n\r\nx\r\n--b0undary--\r\n",
        "--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--\r\n",
        "--b0undary\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--b0undary--\r\n",
        "--b0undary\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b0undary--\r\n",
        "--b0undary\r\nno header line\r\n\r\nx\r\n--b0undary--\r\n",
        "--other\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--other--\r\n",
    ])
    func whatIsNoFormIsRefused(_ text: String) {
        for size in [1, 3, 1000] {
            #expect(throws: MartletError.self) { try parts(Data(text.utf8), pieces: [size]) }
        }
    }

    @Test func headersAndBoundariesHaveLimits() throws {
        let lead = "Content-Disposition: form-data; name=\"a\"\r\nX: "
        for (extra, isFine) in [(0, true), (1, false)] {
            var form = Form()
            // The line that ends the boundary counts too.
            form.add(
                lead + String(repeating: "x", count: MultipartParser.headerLimit - 2 - lead.utf8.count + extra),
                Data("x".utf8))
            let result = Result { try parts(form.closed, pieces: [4096]) }
            #expect(((try? result.get()) != nil) == isFine)
        }
        for boundary in ["", String(repeating: "b", count: 201), "a ", "a\u{7}b", "ü"] {
            #expect(throws: MartletError.self) { try MultipartParser(boundary: boundary) }
        }
        #expect(throws: Never.self) { try MultipartParser(boundary: String(repeating: "b", count: 200)) }
    }

    /// What only looks like a boundary costs no more than other content: it is looked at once and handed on with the
    /// rest of its piece.
    @Test func falseBoundariesAreOneContent() throws {
        var form = Form()
        let content = Data(String(repeating: "\r\n--b0undaryX\r\n--b0undary \t-", count: 100_000).utf8)
        form.file("file", "near.txt", content)
        let bytes = [UInt8](form.closed)
        for size in [bytes.count, 65_536] {
            var parser = try MultipartParser(boundary: Form.boundary)
            var (pieces, passed) = (0, [UInt8]())
            for start in stride(from: 0, to: bytes.count, by: size) {
                try bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { piece in
                    try parser.feed(piece) { event in
                        guard case .data(let bytes) = event else { return }
                        pieces += 1
                        passed += bytes
                    }
                }
            }
            try parser.finish()
            #expect(passed == [UInt8](content))
            #expect(pieces <= bytes.count / size + 1)
        }
    }

    /// Random damage and random pieces: an error or parts, and never a crash or content that was not sent.
    @Test func fuzz() throws {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("\r\n--b0undary: ;=\"\\%".utf8)
        for round in 0..<3000 {
            var form = Form()
            for index in 0..<Int.random(in: 0...3, using: &random) {
                let content = Data((0..<Int.random(in: 0...60)).map { _ in alphabet.randomElement() ?? 0 })
                if round % 2 == 0 { form.file("f\(index)", "n", content) } else { form.field("f\(index)", "v") }
            }
            var body = form.closed
            let isDamaged = round % 3 != 0
            if isDamaged {
                for _ in 0..<Int.random(in: 1...6, using: &random) where !body.isEmpty {
                    let place = Int.random(in: 0..<body.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: body[place] = UInt8.random(in: 0...255, using: &random)
                    case 1: body.remove(at: place)
                    default: body = Data(body.prefix(place))
                    }
                    body = Data(body)
                }
            }
            let whole = try? parts(body, pieces: [max(1, body.count)])
            let pieces = (0..<5).map { _ in Int.random(in: 1...9, using: &random) }
            let split = try? parts(body, pieces: pieces)
            #expect(whole?.map(\.content) == split?.map(\.content))
            #expect(whole?.map(\.header) == split?.map(\.header))
            #expect((whole?.reduce(0) { $0 + $1.content.count } ?? 0) <= body.count)
        }
    }
}
