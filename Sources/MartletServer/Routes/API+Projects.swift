import Foundation
import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    private struct NewProject: Decodable { var name: String }
    private struct NewKey: Decodable {
        var name: String
        var role: Role
        var project: String?
        var expiresAt: Date?
        enum CodingKeys: String, CodingKey { case name, role, project, expiresAt = "expires_at" }
    }

    /// `/api/v1/projects` and `/api/v1/keys`.
    var projectRoutes: [Route] {
        [
            Route(.get, "/api/v1/projects", .anyKey, "List projects: all for an admin, else the key's own.") { call in
                try call.checkQuery()
                return try await .json(Page(data: platform.projects.list(by: call.caller())))
            },
            Route(.post, "/api/v1/projects", .admins, "Create a project: {name}.") { call in
                let new = try await call.decode(NewProject.self, fields: "name")
                return try await .json(platform.projects.create(name: new.name, by: call.caller()), status: .created)
            },
            Route(
                .get, "/api/v1/projects/{project}/budget", .roles([.admin, .developer, .auditor]),
                "What a project may use this month, and what it has used."
            ) { call in
                try call.checkQuery()
                let (project, by) = try call.of("project")
                return try await .json(platform.budgets.show(project, by: by))
            },
            Route(
                .put, "/api/v1/projects/{project}/budget", .admins,
                "Set what a project may use in a month: {cpu_seconds, tokens}; {} takes its budget away."
            ) { call in
                try call.checkQuery()
                let (project, by) = try call.of("project")
                let limit = try await call.decode(BudgetInfo.Amount.self, fields: "cpu_seconds", "tokens")
                return try await .json(platform.budgets.set(limit, of: project, by: by))
            },
            Route(.get, "/api/v1/keys", .admins, "List keys, without their secrets.") { call in
                try call.checkQuery()
                return try await .json(Page(data: platform.keys.list(by: call.caller())))
            },
            Route(.post, "/api/v1/keys", .admins, "Create a key: {name, role, project, expires_at}.") { call in
                let new = try await call.decode(NewKey.self, fields: "name", "role", "project", "expires_at")
                let key = try await platform.keys.create(
                    name: new.name, role: new.role, project: new.project, expiresAt: new.expiresAt, by: call.caller())
                return try .json(key, status: .created)
            },
            Route(.delete, "/api/v1/keys/{id}", .admins, "Revoke a key, at once and for good.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("id")
                return try await .json(platform.keys.revoke(id, by: by))
            },
        ]
    }
}
