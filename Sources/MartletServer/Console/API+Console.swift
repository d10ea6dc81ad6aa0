import Hummingbird

extension API {
    /// The console at `/`.
    var consoleRoutes: [Route] {
        let files = [
            ("/", ConsolePage.html, "text/html; charset=utf-8", "The console."),
            ("/console.css", ConsolePage.style, "text/css; charset=utf-8", "The console's style."),
            ("/console.js", ConsolePage.script, "text/javascript; charset=utf-8", "The console's script."),
        ]
        return files.map { path, text, type, summary in
            Route(.get, path, .everyone, summary, isLogged: false) { _ in
                var response = Response.text(text, type: type)
                response.headers[.contentSecurityPolicy] = ConsolePage.policy
                response.headers[.xContentTypeOptions] = "nosniff"
                response.headers[.frameOptions] = "DENY"
                response.headers[.referrerPolicy] = "no-referrer"
                response.headers[.cacheControl] = "no-cache"
                return response
            }
        }
    }
}
