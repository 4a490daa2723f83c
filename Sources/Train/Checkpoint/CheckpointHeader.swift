import MMoEConfig
import MMoEFiles
import MMoEHDF5
import MMoEReport

/// What a checkpoint says of itself, with every name and number checked: its checksum says that it is whole, not that a
/// program of ours made it.
struct CheckpointHeader {
  let task: String
  let preset: String
  /// YAML.
  let config: String
  let step: Int
  let best: (value: Double, step: Int)?
  let vocabulary: [String: [String]]
  let attachments: [String: [UInt8]]
  let backend: String

  /// Version of the layout inside the HDF5 file.
  static let formatVersion = 1

  static let vocabularyGroup = "vocabulary"
  static let attachmentGroup = "attachments"
  private static let maker = "expected a file made by `mmoe train`"

  /// - Throws: `TrainError` naming the file and the name or number that is none of ours; `HDF5Error` for an attribute of
  ///   another type.
  init(_ reader: HDF5Reader) throws {
    let file = reader.file
    func number(_ name: String, _ range: ClosedRange<Int>, _ remedy: String = "") throws -> Int {
      guard let value = try reader.intAttribute(name) else {
        throw TrainError(file, found: "has no attribute \(name)", remedy: "\(CheckpointHeader.maker)")
      }
      guard range.contains(value) else {
        let expected =
          range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
        throw TrainError(
          file, field: "attribute \(name)", found: "\(value)",
          expected: "\(expected)\(value > range.upperBound ? remedy : "")", remedy: "\(CheckpointHeader.maker)")
      }
      return value
    }
    func text(_ name: String) throws -> String {
      guard let value = try reader.stringAttribute(name) else {
        throw TrainError(file, found: "has no attribute \(name)", remedy: "\(CheckpointHeader.maker)")
      }
      return value
    }
    _ = try number("format_version", 1...CheckpointHeader.formatVersion, " or a newer mmoe that knows it")
    try CheckpointHeader.checkNames(reader)
    (task, preset, config, backend) = (try text("task"), try text("preset"), try text("config"), try text("backend"))
    step = try number("step", 0...StepLimit.largest)
    best =
      if let value = try reader.doubleAttribute("best_value") {
        (value, try number("best_step", 0...StepLimit.largest))
      } else {
        nil
      }
    var vocabulary: [String: [String]] = [:]
    if reader.exists(CheckpointHeader.vocabularyGroup) {
      for entry in try reader.list(CheckpointHeader.vocabularyGroup) {
        let place = CheckpointHeader.vocabularyGroup + "/" + entry.name
        guard let words = String(validating: try reader.readBytes(place), as: UTF8.self) else {
          throw TrainError(
            file, found: "dataset '\(place)' is no UTF-8", expected: "names, one a line",
            remedy: "\(CheckpointHeader.maker)")
        }
        // Captions need no labels; no names are no line, not an empty one.
        vocabulary[entry.name] =
          words.isEmpty
          ? []
          : words.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(Substring($0))
          }
      }
    }
    var attachments: [String: [UInt8]] = [:]
    for dataset in reader.datasets where dataset.path.hasPrefix(CheckpointHeader.attachmentGroup + "/") {
      let name = String(dataset.path.dropFirst(CheckpointHeader.attachmentGroup.count + 1))
      attachments[name] = try reader.readBytes(dataset.path)
    }
    (self.vocabulary, self.attachments) = (vocabulary, attachments)
  }

  /// Names as the program gives them: letters, digits, `_` and `-`, which no two ways of writing share and in which a dot
  /// can stand for a slash. Attachments, which become files, may have dots within, and one folder.
  private static func checkNames(_ reader: HDF5Reader) throws {
    func isPlain(_ name: Substring.UTF8View, dots: Bool) -> Bool {
      !name.isEmpty && name.first != UInt8(ascii: ".")
        && name.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x30...0x39: true
          case UInt8(ascii: "_"), UInt8(ascii: "-"): true
          default: dots && byte == UInt8(ascii: ".")
          }
        }
    }
    for dataset in reader.datasets {
      let names = dataset.path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      let isFile = names.count > 1 && names[0].elementsEqual(attachmentGroup.utf8)
      guard names.allSatisfy({ isPlain($0, dots: isFile) }), !isFile || names.count <= 3 else {
        throw TrainError(
          "\(reader.file)", found: "dataset '\(dataset.path)' has a name that no checkpoint has",
          expected: "letters, digits, _ and -\(isFile ? ", dots within, and at most one folder" : "")",
          remedy: "\(maker)")
      }
    }
  }
}
