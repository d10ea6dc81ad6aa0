import Foundation
import MartletStore
import MartletWire

/// Finds what takes the disk and removes what nothing refers to.
public actor GarbageCollector {
    private let store: Store
    private let blobs: BlobStore
    private let folders: TreeFolders
    private let jobs: JobService
    private let audit: AuditLog
    private let home: String
    private let reserve: DiskReserve

    init(
        store: Store, blobs: BlobStore, folders: TreeFolders, jobs: JobService, audit: AuditLog, home: String,
        reserve: DiskReserve
    ) {
        self.reserve = reserve
        self.store = store
        self.blobs = blobs
        self.folders = folders
        self.jobs = jobs
        self.audit = audit
        self.home = home
    }

    /// Reports by project and kind, and unless `dryRun` removes blobs, laid-out trees and folders of finished jobs that
    /// nothing needs. What a job that is not final uses stays. Admins only.
    public func collect(dryRun: Bool, by principal: Principal) async throws -> GarbageReport {
        try await collect(dryRun: dryRun, by: principal) {}
    }

    /// `betweenLooks` runs between the look at what is there and the look at what is needed, where others work too.
    package func collect(
        dryRun: Bool, by principal: Principal, betweenLooks: @Sendable () async throws -> Void
    ) async throws -> GarbageReport {
        try principal.require()
        return try await reserve.whileFull {
            try await collectOnce(dryRun: dryRun, by: principal, betweenLooks)
        }
    }

    private func collectOnce(
        dryRun: Bool, by principal: Principal, _ betweenLooks: @Sendable () async throws -> Void
    ) async throws -> GarbageReport {
        if !dryRun { try await audit.record("gc", on: "home", by: principal) }
        let candidates = try blobs.beginCollection()
        defer { blobs.endCollection() }

        let trees = try await store.removeUnreferencedTrees(dryRun: dryRun)
        let referenced = try await store.referencedBlobs(excluding: trees)
        var rows = try await store.storageByProject().map {
            GarbageReport.Row(project: $0.project, kind: $0.kind, count: $0.count, byteCount: $0.byteCount)
        }
        var report = GarbageReport(rows: [], removedCount: 0, removedBytes: 0, isDryRun: dryRun)

        // Links first: a blob's room is free only when its last link is gone.
        // Folders before what is live: one that is laid out in between belongs to a tree that was just registered.
        let laidOut = folders.all()
        try await betweenLooks()
        let live = try await store.liveTrees()
        for hash in laidOut where !live.contains(hash) && !dryRun { folders.remove(hash) }

        let unreferenced = candidates.filter { !referenced.contains($0.hash) }
        rows.append(
            .init(
                project: "", kind: "unreferenced", count: unreferenced.count,
                byteCount: unreferenced.reduce(0) { $0 + $1.byteCount }))
        for blob in unreferenced {
            if dryRun ? true : try blobs.remove(blob.hash) {
                report.removedCount += 1
                report.removedBytes += blob.byteCount
            }
        }
        try await collectJobs(dryRun: dryRun, &rows, &report)
        report.rows = rows.filter { $0.count > 0 }
        return report
    }

    /// Of finished jobs the log stays; checkpoints, caches and the copy of the bundle go.
    private func collectJobs(
        dryRun: Bool, _ rows: inout [GarbageReport.Row], _ report: inout GarbageReport
    ) async throws {
        let manager = FileManager.default
        let root = home + "/run/jobs"
        let projects = try await store.projectsOfJobs()
        var totals: [String: [String: (count: Int, bytes: Int)]] = [:]
        for id in ((try? manager.contentsOfDirectory(atPath: root)) ?? []).sorted() {
            // Looked up one by one: a job may have started meanwhile.
            let isActive = await jobs.activeJobs().contains(id)
            for part in (try? manager.contentsOfDirectory(atPath: "\(root)/\(id)")) ?? [] where part != "log" {
                let path = "\(root)/\(id)/\(part)"
                let bytes = Self.byteCount(of: path)
                let kind = part.hasPrefix("checkpoint") ? "checkpoint" : "cache"
                var total = totals[projects[id] ?? "", default: [:]][kind] ?? (0, 0)
                total.count += 1
                total.bytes += bytes
                totals[projects[id] ?? "", default: [:]][kind] = total
                let isFinal = try await store.job(id, projectID: nil)?.info.state.isFinal ?? true
                guard !isActive, isFinal else { continue }
                if !dryRun { try? manager.removeItem(atPath: path) }
                report.removedCount += 1
                report.removedBytes += bytes
            }
        }
        for (project, kinds) in totals.sorted(by: { $0.key < $1.key }) {
            for (kind, total) in kinds.sorted(by: { $0.key < $1.key }) {
                rows.append(.init(project: project, kind: kind, count: total.count, byteCount: total.bytes))
            }
        }
    }

    private static func byteCount(of path: String) -> Int {
        func size(_ path: String) -> Int {
            ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue ?? 0
        }
        guard let files = FileManager.default.enumerator(atPath: path) else { return size(path) }
        var total = 0
        while let file = files.nextObject() as? String { total += size("\(path)/\(file)") }
        return total == 0 ? size(path) : total
    }
}
