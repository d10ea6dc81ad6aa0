import MartletWire

/// The API's description (OpenAPI 3.1), made from the route table.
enum OpenAPI {
    static func document(_ routes: [Route], version: String) -> JSON {
        var paths = JSONObject()
        for route in routes {
            let path = route.path.replacing("…}", with: "}")
            var operations = paths[path]?.object ?? JSONObject()
            operations[route.method.rawValue.lowercased()] = operation(route)
            paths[path] = .object(operations)
        }
        return [
            "openapi": "3.1.0",
            "info": ["title": "Martlet", "version": .string(version)],
            "paths": .object(paths),
            "components": ["securitySchemes": ["key": ["type": "http", "scheme": "bearer"]]],
        ]
    }

    private static func operation(_ route: Route) -> JSON {
        var operation: JSONObject = [
            "summary": .string(route.summary),
            "parameters": .array(parameters(route.path)),
            "responses": ["default": ["description": "JSON; an error says what was wrong and what to do"]],
        ]
        switch route.policy {
        case .everyone: operation["security"] = []
        case .anyKey: operation["security"] = [["key": []]]
        case .roles(let roles):
            operation["security"] = [["key": []]]
            operation["x-roles"] = .array(roles.map(\.rawValue).sorted().map { .string($0) })
        }
        return .object(operation)
    }

    private static func parameters(_ path: String) -> [JSON] {
        path.split(separator: "/").filter { $0.hasPrefix("{") }.map { segment in
            let name = segment.dropFirst().prefix { $0 != "}" && $0 != "…" }
            return [
                "name": .string(String(name)), "in": "path", "required": true, "schema": ["type": "string"],
            ]
        }
    }
}
