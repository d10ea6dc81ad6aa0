import Foundation
import MartletPlatform
import MartletStore
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Responses in the background over restarts", .serialized) struct BackgroundResponseTests {
    /// Says no to everything.
    private final class Refuser: RequestExecutor {
        let asked = Mutex<[InnerRequest]>([])

        func execute(_ request: InnerRequest) async -> InnerReply {
            asked.withLock { $0.append(request) }
            return InnerReply(status: 400, body: ["error": ["message": "no such prompt"]], requestID: "r")
        }
    }

    @Test func whatAnEarlierServeLeftIsBegunAgainAndEndsOnce() async throws {
        let bench = try await Bench()
        let project = bench.admin.project
        try await bench.stop(keep: true)
        let store = try Store(path: bench.home + "/martlet.sqlite")
        let id = "resp_1"
        try await store.insert(
            StoredBackgroundResponse(
                id: id, projectID: project, keyID: bench.admin.keyID, createdAt: Date(),
                request: ["model": "m", "input": "x", "background": true]),
            response: StoredResponse(
                id: id, projectID: project, createdAt: Date(),
                body: ["id": .string(id), "status": "in_progress", "background": true], input: [], conversation: []))
        try store.close()

        let next = try await Bench(home: bench.home)
        let refuser = Refuser()
        next.platform.executor.set(refuser)
        try await eventually {
            try await next.platform.responses.show(id, by: next.admin).body["status"] == "failed"
        }
        let body = try await next.platform.responses.show(id, by: next.admin).body
        #expect(body["error"]?["message"] == "no such prompt")
        let asked = refuser.asked.withLock { $0 }
        #expect(asked.count == 1 && asked.first?.responseID == id && asked.first?.principal.keyID == bench.admin.keyID)
        try await eventually { try await !next.platform.hasWork() }
        try await next.stop(keep: true)

        let last = try await Bench(home: bench.home)
        #expect(try await !last.platform.hasWork())
        #expect(try await last.platform.responses.show(id, by: last.admin).body["status"] == "failed")
        try await last.stop()
    }

    @Test func `a streamed one begins anew after a restart, under numbers of its own`() async throws {
        let bench = try await Bench()
        let admin = bench.admin
        try await bench.stop(keep: true)
        let store = try Store(path: bench.home + "/martlet.sqlite")
        let id = "resp_3"
        try await store.insert(
            StoredBackgroundResponse(
                id: id, projectID: admin.project, keyID: admin.keyID, createdAt: Date(),
                request: ["model": "m", "input": "x", "background": true, "stream": true]),
            response: StoredResponse(
                id: id, projectID: admin.project, createdAt: Date(),
                body: ["id": .string(id), "status": "in_progress", "created_at": 5], input: [], conversation: []))
        try store.close()
        for restart in 1...2 {
            // Without an executor there is no place for it, and it waits.
            let next = try await Bench(home: bench.home)
            let log = try #require(await next.platform.backgroundResponses.log(of: id, by: next.admin))
            #expect(log.first == restart * 1_000_000 && log.createdAt == 5)
            // Whoever was told events before hears that it begins anew.
            guard case .events(let told, let number) = log.read(from: log.first) else { return #expect(Bool(false)) }
            let events = try told.map { try JSONParser.parse($0) }
            #expect(events.map { $0["type"] } == ["response.created", "response.queued"])
            #expect(events.allSatisfy { $0["response"]?["status"] == "queued" })
            #expect(events.map { $0["sequence_number"]?.int } == [log.first, log.first + 1])
            #expect(log.read(from: 7) == .lost && log.read(from: number) == .events([], next: number))
            #expect(try await next.platform.backgroundResponses.events(of: id, by: next.admin) == nil)
            try await next.stop(keep: true)
            #expect(log.read(from: number) == .stopped)
        }
        let last = try await Bench(home: bench.home)
        last.platform.executor.set(Refuser())
        try await eventually {
            try await last.platform.responses.show(id, by: last.admin).body["status"] == "failed"
        }
        guard case .kept(let kept)? = try await last.platform.backgroundResponses.events(of: id, by: last.admin) else {
            return #expect(Bool(false))
        }
        let end = try JSONParser.parse(try #require(kept.last))
        #expect(kept.count == 3 && end["type"] == "response.failed" && end["sequence_number"] == 3_000_002)
        #expect(end["response"]?["error"]?["message"] == "no such prompt")
        let stranger = Principal(keyID: "k", project: "proj_other", projectName: "other", role: .admin)
        #expect(try await last.platform.backgroundResponses.events(of: id, by: stranger) == nil)
        #expect(await last.platform.backgroundResponses.log(of: id, by: stranger) == nil)
        try await last.stop()
    }

    @Test("A11: a revoked key's response is cancelled") func aRevokedKeysResponse() async throws {
        let bench = try await Bench()
        let key = try await bench.platform.keys.create(name: "k", role: .inference, by: bench.admin)
        let project = bench.admin.project
        try await bench.stop(keep: true)
        let store = try Store(path: bench.home + "/martlet.sqlite")
        try await store.insert(
            StoredBackgroundResponse(
                id: "resp_2", projectID: project, keyID: key.id, createdAt: Date(), request: ["model": "m"]),
            response: StoredResponse(
                id: "resp_2", projectID: project, createdAt: Date(), body: ["status": "queued"], input: [],
                conversation: []))
        try store.close()
        // Without an executor there is no place for it, and it waits.
        let next = try await Bench(home: bench.home)
        #expect(try await next.platform.hasWork())
        _ = try await next.platform.keys.revoke(key.id, by: next.admin)
        try await eventually {
            try await next.platform.responses.show("resp_2", by: next.admin).body["status"] == "cancelled"
        }
        let audit = try await next.platform.audit.list(by: next.admin).data
        #expect(audit.contains { $0.action == "response.cancel" && $0.outcome == "key revoked" })
        try await next.stop()
    }
}
