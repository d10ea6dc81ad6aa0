import Foundation
import MartletPlatform
import MartletStore
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
