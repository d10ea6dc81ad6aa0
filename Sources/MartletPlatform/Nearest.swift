/// How near two names are, for hints.
package enum Nearest {
    /// The Levenshtein distance, on at most 64 characters of each.
    package static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.prefix(64)), right = Array(right.prefix(64))
        var row = Array(0...right.count)
        for i in 0..<left.count {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<right.count {
                let cost = left[i] == right[j] ? diagonal : min(diagonal, row[j], row[j + 1]) + 1
                diagonal = row[j + 1]
                row[j + 1] = cost
            }
        }
        return row[right.count]
    }
}
