import ArgumentParser
import Foundation
import MartletPlatform
import MartletWire

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what was found: engine, libtorch, CPU, GPU, disk, home; a remedy for each fault.")
    @OptionGroup var options: GlobalOptions

    /// One thing looked at.
    private struct Check: Codable {
        var name: String
        var ok: Bool
        var detail: String
        var remedy: String?
    }
    private struct Report: Encodable {
        var ok: Bool
        var checks: [Check]
        var engine: JSON?
    }

    func run() async throws {
        var checks = [home(), disk()]
        checks.append(await server())
        let engine = engine(&checks)
        let report = Report(ok: checks.allSatisfy(\.ok), checks: checks, engine: engine)
        try options.output.show(report) { report in
            var table = Table(["", "", ""])
            for check in report.checks {
                table.add([check.ok ? "ok" : "FAULT", check.name, check.detail])
                if let remedy = check.remedy, !check.ok { table.add(["", "", "→ " + remedy]) }
            }
            for (key, value) in report.engine?.object ?? [:] where key != "checks" {
                table.add(["", key, Self.text(value)])
            }
            return table.text
        }
        if !report.ok { throw ExitCode(69) }
    }

    private static func text(_ value: JSON) -> String {
        value.array.map { $0.map { Format.cell($0) }.joined(separator: " ") } ?? Format.cell(value)
    }

    private func home() -> Check {
        let path = options.homePath
        if let fault = HomeFolder.fault(path) {
            let parts = fault.message.split(separator: "; ", maxSplits: 1).map(String.init)
            return Check(name: "home", ok: false, detail: parts[0], remedy: parts.last)
        }
        let isThere = FileManager.default.fileExists(atPath: path)
        return Check(name: "home", ok: true, detail: isThere ? path : "\(path) (the first command makes it)")
    }

    private func disk() -> Check {
        var path = options.homePath
        while !FileManager.default.fileExists(atPath: path), path != "/" {
            path = (path as NSString).deletingLastPathComponent
        }
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: path)
        let free = (attributes?[.systemFreeSize] as? NSNumber)?.intValue ?? 0
        let isEnough = free > 1 << 30
        return Check(
            name: "disk", ok: isEnough, detail: "\(Format.bytes(free)) free at \(path)",
            remedy: isEnough ? nil : "make room: martlet gc, or choose another disk with --home")
    }

    private func server() async -> Check {
        guard let owner = HomeOwner.live(options.homePath) else {
            return Check(name: "server", ok: true, detail: "none runs; a command that needs one starts it")
        }
        let isAlive = await Connection.isAlive(owner.url)
        return Check(
            name: "server", ok: isAlive, detail: "\(owner.url) (process \(owner.pid))",
            remedy: isAlive ? nil : "it does not answer; end it with: martlet stop")
    }

    /// What `martlet-engine doctor` says; its own checks join ours.
    private func engine(_ checks: inout [Check]) -> JSON? {
        do {
            let path = try EngineTool.path()
            let (data, status) = try EngineTool.run(["doctor"])
            let report = try JSONParser.parse(data, limits: .trusted)
            checks.append(
                Check(
                    name: "engine", ok: status == 0, detail: path,
                    remedy: status == 0 ? nil : "set it up again: scripts/setup, then make build"))
            checks += (report["checks"]?.array ?? []).compactMap { try? $0.decode(Check.self) }
            return report
        } catch {
            checks.append(
                Check(
                    name: "engine", ok: false, detail: (error as? MartletError)?.message ?? "it did not answer",
                    remedy: "build it: make build, or install it: make install"))
            return nil
        }
    }
}
