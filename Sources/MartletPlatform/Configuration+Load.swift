import Foundation
import MartletWire
import Yams

/// A configuration with the origin of each of its values.
public struct LoadedConfiguration: Sendable, Equatable {
    public var configuration: Configuration
    /// By the key's name in config.yaml; what is not here is the default.
    public var origins: [String: Configuration.Origin]

    /// Every key in order, with its value and origin, for `martlet config`.
    public func rows() throws -> [(key: String, value: JSON, origin: Configuration.Origin)] {
        let values = try JSON(encoding: configuration)
        return Configuration.CodingKeys.allCases.map { key in
            (key.stringValue, values[key.stringValue] ?? .null, origins[key.stringValue] ?? .default)
        }
    }
}

extension Configuration {
    /// Defaults, then the file, then `MARTLET_<KEY>` of the environment, then flags, each over the one before.
    ///
    /// `path` must exist where it is given; without it HOME/config.yaml is read where it is there. An unknown key or a
    /// wrong value is `usage`, with the nearest name. `flags` and the environment hold texts as a user writes them.
    public static func load(
        home: String, path: String? = nil, environment: [String: String] = [:], flags: [String: String] = [:]
    ) throws -> LoadedConfiguration {
        var values = try JSON(encoding: Configuration()).object ?? JSONObject()
        var origins: [String: Origin] = [:]
        let file = path ?? home + "/config.yaml"
        if path != nil || FileManager.default.fileExists(atPath: file) {
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw MartletError(.usage, "the configuration '\(file)' cannot be read; check the path")
            }
            for (key, value) in try pairs(text, file: file) {
                try set(key, to: value, in: &values, from: "\(file)")
                origins[key] = .file
            }
        }
        for key in CodingKeys.allCases.map(\.stringValue) {
            let variable = "MARTLET_" + key.uppercased()
            if let text = environment[variable] {
                try set(key, to: text, in: &values, from: "the variable \(variable)")
                origins[key] = .environment
            }
        }
        for (key, text) in flags {
            try set(key, to: text, in: &values, from: "the command line")
            origins[key] = .flag
        }
        let configuration = try JSON.object(values).decode(Configuration.self)
        try configuration.check()
        return LoadedConfiguration(configuration: configuration, origins: origins)
    }

    private static func pairs(_ text: String, file: String) throws -> [(String, String)] {
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw MartletError(
                .usage, "the configuration '\(file)' is not valid YAML; check its indentation and quotes")
        }
        guard let node, node.null == nil else { return [] }
        guard let mapping = node.mapping else {
            throw MartletError(.usage, "the configuration '\(file)' must hold keys and values; see 'martlet config'")
        }
        return try mapping.map { key, value in
            guard let key = key.string, let value = value.scalar?.string else {
                throw MartletError(
                    .usage, "'\(key.string ?? "?")' in '\(file)' must have one plain value; see 'martlet config'")
            }
            return (key, value)
        }
    }

    private static func set(_ key: String, to text: String, in values: inout JSONObject, from place: String) throws {
        switch values[key] {
        case .int:
            guard let number = Int64(text), number >= 0 else {
                throw MartletError(.usage, "'\(key)' from \(place) is '\(text)'; give a whole number from 0")
            }
            values[key] = .int(number)
        case .string: values[key] = .string(text)
        default:
            let names = CodingKeys.allCases.map(\.stringValue)
            let near = names.min { Nearest.distance($0, key) < Nearest.distance($1, key) } ?? "listen"
            throw MartletError(
                .usage, "there is no setting '\(key.prefix(60))' (\(place)); the nearest is '\(near)'", param: key)
        }
    }

    private func check() throws {
        guard maxRunningJobs > 0, maxSideJobs > 0, replicaThreads > 0, maxBatch > 0, maxConnections > 0 else {
            throw MartletError(
                .usage,
                "max_running_jobs, max_side_jobs, replica_threads, max_batch and max_connections must be 1 or more")
        }
        guard maxSequences > 0, generationTimeoutSeconds > 0, maxChoices > 0, queuedTokenLimit > 0,
            backgroundRequests > 0
        else {
            throw MartletError(
                .usage,
                "max_sequences, generation_timeout_seconds, max_choices, queued_token_limit and background_requests "
                    + "must be 1 or more")
        }
        let bounds: [(String, Int, Int)] = [
            ("request_timeout_seconds", requestTimeoutSeconds, Self.longestSeconds),
            ("generation_timeout_seconds", generationTimeoutSeconds, Self.longestSeconds),
            ("header_timeout_seconds", headerTimeoutSeconds, Self.longestSeconds),
            ("model_idle_seconds", modelIdleSeconds, Self.longestSeconds),
            ("min_body_bytes_per_second", minBodyBytesPerSecond, 1 << 40),
            ("json_depth_limit", jsonDepthLimit, JSONLimits.trusted.depth),
        ]
        for (key, value, most) in bounds where value > most {
            throw MartletError(.usage, "\(key) is \(value); use at most \(most)", param: key)
        }
        guard tlsCertificate.isEmpty == tlsKey.isEmpty else {
            throw MartletError(.usage, "tls_certificate and tls_key go together; set both or neither")
        }
        try checkNames()
        guard bodyLimitBytes <= Frame.byteLimit / 2 else {
            throw MartletError(
                .usage, "body_limit_bytes is \(bodyLimitBytes); use at most \(Frame.byteLimit / 2)",
                param: "body_limit_bytes")
        }
    }

    /// Names and origins as clients send them: an address where a name belongs would never be met.
    private func checkNames() throws {
        for name in otherHostNames where name.contains(where: { "/:@ ".contains($0) }) {
            throw MartletError(
                .usage, "host_names has '\(name)'; write names alone, such as models.example.com", param: "host_names")
        }
        for origin in otherOrigins where origin != "*" && origin != "null" {
            let parts = origin.components(separatedBy: "://")
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
                !parts[1].contains(where: { "/?#@ ".contains($0) })
            else {
                throw MartletError(
                    .usage,
                    "cors_origins has '\(origin)'; write origins as browsers send them, such as https://app.example.com, "
                        + "or * for all", param: "cors_origins")
            }
        }
    }

    /// About 31 years: more does not fit in nanoseconds.
    private static let longestSeconds = 1_000_000_000
}
