import MartletWire

/// What was found in the data and what was done to it, for people.
public struct DataReport: Codable, Sendable, Equatable {
    /// One file or folder of the source.
    public struct Source: Codable, Sendable, Equatable {
        public var name: String
        /// `csv`, `jsonl`, `idx`, `images`, `text`.
        public var format: String
        public var rows = 0
        /// The split that it was published in.
        public var split: Split?
        public var dialect: Dialect?
    }

    /// How a CSV is written: as the recipe says, else as inferred.
    public struct Dialect: Codable, Sendable, Equatable {
        public var encoding: String
        public var delimiter: String
        public var decimal: String
        public var thousands: String?
        public var header: Bool
        /// Words that mean "no value", beside the empty cell.
        public var missing: [String]
    }

    /// A value and how often it stands in a column.
    public struct ValueCount: Codable, Sendable, Equatable {
        public var value: String
        public var count: Int
    }

    /// Ten bins of equal width from `low` to `high`; of a seeded sample where there are more than 100,000 values (fewer in
    /// tables of more than 20 columns).
    public struct Histogram: Codable, Sendable, Equatable {
        public var low: Double
        public var high: Double
        public var counts: [Int]
        public var isSampled: Bool
    }

    /// One column of the data as it was given, before cleaning.
    public struct Column: Codable, Sendable, Equatable {
        public var name: String
        /// The inferred type: number, category, boolean, text, datetime, vector, image.
        public var type: String
        public var count = 0
        public var missing = 0
        public var min: Double?
        public var max: Double?
        public var mean: Double?
        /// Of the population; nil where it is past the range of a double.
        public var standardDeviation: Double?
        public var histogram: Histogram?
        /// How many different values; nil where they are too many to count.
        public var distinct: Int?
        /// The most frequent values, at most 100; fewer in tables of more than 2,000 columns.
        public var values: [ValueCount] = []
        /// `28×28×1` of the first image.
        public var imageSize: String?

        enum CodingKeys: String, CodingKey {
            case name, type, count, missing, min, max, mean, histogram, distinct, values
            case standardDeviation = "standard_deviation", imageSize = "image_size"
        }
    }

    /// A cleaning step and what it changed.
    public struct Cleaning: Codable, Sendable, Equatable {
        public var step: String
        public var rowsRemoved: Int
        public var cellsChanged: Int

        enum CodingKeys: String, CodingKey {
            case step, rowsRemoved = "rows_removed", cellsChanged = "cells_changed"
        }
    }

    public var sources: [Source] = []
    public var rows = 0
    public var columns: [Column] = []
    public var cleaning: [Cleaning] = []
    /// Rows in each split; empty where data was only profiled.
    public var splits: [String: Int] = [:]
    /// Text and sequence columns → rows that were cut to `max_length`.
    public var truncated: [String: Int] = [:]
    public var warnings: [String] = []

    public init() {}
}
