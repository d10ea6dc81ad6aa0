import Foundation

/// Dates and times as `2024-03-01`, `2024/3/1 9:05`, `20240301`, `2024-03-01T09:05:00Z`, `2024年3月1日`.
package struct DateParts: Equatable {
    package var year: Int
    package var month: Int
    package var day: Int
    package var hour = 0
    package var minute = 0
    package var second = 0.0

    /// Numbers that a date gives to the model: year, month, day, weekday (Monday is 0), hour with its fraction.
    static let count = 5

    package init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        var numbers: [Int] = []
        var digits: [Int] = []
        var position = 0
        var fraction = 0.0
        // A zone moves nothing: the time is taken as it was written.
        while position < bytes.count, numbers.count < 6 {
            let byte = bytes[position]
            if byte &- 0x30 < 10 {
                let start = position
                var value = 0
                while position < bytes.count, bytes[position] &- 0x30 < 10, position - start < 15 {
                    value = value * 10 + Int(bytes[position] &- 0x30)
                    position += 1
                }
                numbers.append(value)
                digits.append(position - start)
                if numbers.count == 6, position + 1 < bytes.count, bytes[position] == 0x2E {
                    var place = 0.1
                    position += 1
                    while position < bytes.count, bytes[position] &- 0x30 < 10 {
                        fraction += Double(bytes[position] &- 0x30) * place
                        place /= 10
                        position += 1
                    }
                }
            } else {
                if numbers.count == 5, byte == 0x2B || byte == 0x2D || byte == 0x5A { break }
                let isSeparator =
                    switch byte {
                    case 0x2D, 0x2F, 0x2E, 0x20, 0x3A, 0x54, 0x74: true
                    default: byte >= 0x80
                    }
                guard isSeparator, !numbers.isEmpty else { return nil }
                position += 1
            }
        }
        if numbers.count == 1 || (numbers.count > 1 && digits[0] == 8), digits[0] == 8 {
            let date = numbers.removeFirst()
            numbers.insert(contentsOf: [date / 10_000, date / 100 % 100, date % 100], at: 0)
            digits[0] = 4
        }
        guard numbers.count >= 3, digits[0] == 4 else { return nil }
        year = numbers[0]
        month = numbers[1]
        day = numbers[2]
        if numbers.count > 3 { hour = numbers[3] }
        if numbers.count > 4 { minute = numbers[4] }
        if numbers.count > 5 { second = Double(numbers[5]) + fraction }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        guard year >= 1, (1...12).contains(month) else { return nil }
        let days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
        guard (1...days).contains(day), hour < 24, minute < 60, second < 61 else { return nil }
    }

    package init?(_ text: String) {
        var text = text
        guard let parts = text.withUTF8({ DateParts($0) }) else { return nil }
        self = parts
    }

    /// Monday is 0 (Sakamoto's method).
    package var weekday: Int {
        let shifts = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
        let year = month < 3 ? self.year - 1 : self.year
        return (year + year / 4 - year / 100 + year / 400 + shifts[month - 1] + day + 6) % 7
    }

    package var values: [Double] {
        [Double(year), Double(month), Double(day), Double(weekday), Double(hour) + (Double(minute) + second / 60) / 60]
    }
}
