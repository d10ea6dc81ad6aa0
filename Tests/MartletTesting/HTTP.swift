import Foundation
import Glibc
import MartletWire

/// An answer as it came.
public struct HTTPAnswer: Sendable {
    public var status: Int
    /// Names in lower case.
    public var headers: [String: String]
    public var body: Data

    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The body, which must be a JSON document by our own strict parser.
    public func json() throws -> JSON { try JSONParser.parse(body, limits: .trusted) }

    /// `error.message` of the native API, or the Open Inference Protocol's `error`.
    public var message: String {
        let error = (try? json())?["error"]
        return error?["message"]?.string ?? error?.string ?? ""
    }
    public var code: String { (try? json())?["error"]?["code"]?.string ?? "" }
}

/// One blocking TCP connection to a server on this machine.
public final class RawSocket {
    public let descriptor: Int32
    private var buffer: [UInt8] = []

    /// Throws `HarnessError` where nothing listens; reads and writes give up after `seconds`.
    public init(port: UInt16, seconds: Int = 30) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            // `deinit` closes it, here too.
            throw HarnessError("connecting to port \(port): \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    public func write(_ data: some Collection<UInt8>) throws {
        var rest = Array(data)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { throw HarnessError("writing: \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(count)
        }
    }

    /// Some bytes, or none once the peer has closed.
    public func read() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw HarnessError("reading: \(String(cString: strerror(errno)))") }
        return Array(bytes[..<count])
    }

    /// Sends one request and reads its answer; the connection can be used again where the server keeps it.
    public func request(
        _ method: String, _ path: String, headers: [String: String] = [:], body: Data = Data()
    ) throws -> HTTPAnswer {
        var head = "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        head += "Content-Length: \(body.count)\r\n\r\n"
        try write(Array(head.utf8) + body)
        return try answer()
    }

    /// Reads one answer.
    public func answer() throws -> HTTPAnswer {
        let head = String(decoding: try upTo(Array("\r\n\r\n".utf8)), as: UTF8.self)
        let lines = head.split(separator: "\r\n", omittingEmptySubsequences: true)
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw HarnessError("this is no HTTP answer: \(head.prefix(200))")
        }
        if status == 100 { return try answer() }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces) }
        }
        var body: [UInt8] = []
        if let length = headers["content-length"].flatMap({ Int($0) }) {
            body = try exactly(length)
        } else if headers["transfer-encoding"]?.contains("chunked") == true {
            while true {
                let size = String(decoding: try upTo(Array("\r\n".utf8)), as: UTF8.self)
                guard let count = Int(size.prefix { $0.isHexDigit }, radix: 16) else {
                    throw HarnessError("a chunk's size is '\(size)'")
                }
                body += try exactly(count)
                _ = try exactly(2)
                if count == 0 { break }
            }
        }
        return HTTPAnswer(status: status, headers: headers, body: Data(body))
    }

    private func fill() throws {
        let bytes = try read()
        guard !bytes.isEmpty else { throw HarnessError("the server closed the connection") }
        buffer += bytes
    }

    private func exactly(_ count: Int) throws -> [UInt8] {
        while buffer.count < count { try fill() }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private func upTo(_ end: [UInt8]) throws -> [UInt8] {
        while true {
            if let range = buffer.firstRange(of: end) {
                defer { buffer.removeFirst(range.upperBound) }
                return Array(buffer[..<range.lowerBound])
            }
            try fill()
        }
    }
}

/// Asks one server, each request on a connection of its own.
public struct HTTPClient: Sendable {
    public var port: UInt16
    public var key: String?

    public init(port: UInt16, key: String?) {
        self.port = port
        self.key = key
    }

    public var authorization: [String: String] { key.map { ["Authorization": "Bearer \($0)"] } ?? [:] }

    public func request(
        _ method: String, _ path: String, headers: [String: String] = [:], body: Data = Data(), seconds: Int = 60
    ) throws -> HTTPAnswer {
        var all = authorization.merging(headers) { $1 }
        all["Connection"] = "close"
        return try RawSocket(port: port, seconds: seconds).request(method, path, headers: all, body: body)
    }

    public func get(_ path: String) throws -> HTTPAnswer { try request("GET", path) }

    public func post(_ path: String, json: String, headers: [String: String] = [:]) throws -> HTTPAnswer {
        let headers = headers.merging(["Content-Type": "application/json"]) { $1 }
        return try request("POST", path, headers: headers, body: Data(json.utf8))
    }
}
