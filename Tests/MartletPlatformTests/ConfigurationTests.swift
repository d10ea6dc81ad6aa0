import Foundation
import MartletPlatform
import MartletWire
import Testing

@Suite struct ConfigurationTests {
    private func load(
        _ yaml: String, environment: [String: String] = [:], flags: [String: String] = [:]
    ) throws -> LoadedConfiguration {
        let path = NSTemporaryDirectory() + "config-\(UUID().uuidString).yaml"
        try yaml.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try Configuration.load(home: "/nowhere", path: path, environment: environment, flags: flags)
    }

    @Test func eachValueKnowsWhereItCameFrom() throws {
        let loaded = try load(
            "listen: 127.0.0.1:1\nmax_batch: 8\nworker_threads: 2\n", environment: ["MARTLET_MAX_BATCH": "16"],
            flags: ["listen": "127.0.0.1:2"])
        #expect(loaded.configuration.listen == "127.0.0.1:2")
        #expect(loaded.configuration.maxBatch == 16 && loaded.configuration.workerThreads == 2)
        let origins = Dictionary(uniqueKeysWithValues: try loaded.rows().map { ($0.key, $0.origin) })
        #expect(origins["listen"] == .flag && origins["max_batch"] == .environment)
        #expect(origins["worker_threads"] == .file && origins["body_limit_bytes"] == .default)
    }

    @Test func listsHaveCommas() throws {
        let loaded = try load(
            "cors_origins: ' https://App.example.com , null,tauri://localhost:1420, '\nhost_names: A,b")
        #expect(
            loaded.configuration.otherOrigins == ["https://app.example.com", "null", "tauri://localhost:1420"])
        #expect(loaded.configuration.otherHostNames == ["a", "b"])
        #expect(Configuration().otherOrigins.isEmpty && Configuration().otherHostNames.isEmpty)
    }

    @Test(arguments: [
        ("lisen: 127.0.0.1:1", "the nearest is 'listen'"), ("max_batch: many", "give a whole number"),
        ("max_batch: -1", "give a whole number"), ("max_batch: 0", "must be 1 or more"),
        ("listen: [a]", "must have one plain value"), ("- a", "must hold keys and values"),
        ("tls_key: k.pem", "go together"), ("body_limit_bytes: 999999999999", "use at most"),
        ("request_timeout_seconds: 9223372036854775807", "use at most"),
        ("header_timeout_seconds: 1000000001", "use at most"), ("json_depth_limit: 257", "use at most 256"),
        ("min_body_bytes_per_second: 9223372036854775807", "use at most"),
        ("cors_origins: app.example.com", "write origins as browsers send them"),
        ("cors_origins: '*, https://app.example.com/'", "has 'https://app.example.com/'"),
        ("host_names: models.example.com:8080", "write names alone"),
    ])
    func whatIsWrongIsNamed(_ yaml: String, _ message: String) {
        #expect {
            _ = try load(yaml)
        } throws: { error in
            (error as? MartletError)?.code == .usage && "\(error)".contains(message)
        }
    }
}
