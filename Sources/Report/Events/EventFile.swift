import Foundation
import MMoEFiles

/// A file of events, as TensorBoard reads it while it grows. Every process that trains a run writes one of its own in the
/// run's folder, `events.out.tfevents.TIME.HOST.PID`.
///
/// Source of the fields: `tensorflow/core/util/event.proto`.
final class EventFile {
  private let file: AppendFile
  private let now: () -> Double

  /// What the names of such files begin with.
  static let namePrefix = "events.out.tfevents."

  /// - Parameters:
  ///   - firstStep: TensorBoard forgets this step and those behind it of the folder's earlier files.
  ///   - now: seconds since 1970; tests give their own.
  /// - Throws: `ReportError` for a folder that cannot be written.
  init(directory: String, forgettingFrom firstStep: Int, now: @escaping () -> Double = EventFile.clock)
    throws(ReportError)
  {
    self.now = now
    let name = "\(EventFile.namePrefix)\(Int(now())).\(EventFile.host).\(getpid())"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    // One process may train a run several times within a second, as tests do; files are read in the order of their names.
    let number = names.count { $0.hasPrefix(name) }
    file = try AppendFile(FilePath.join(directory, "\(name).\(number)"))
    try append(step: 0) { $0.add(3, "brain.Event:2") }
    // START. One of TensorBoard's two readers forgets nothing at the first of these that it meets, so every file has it.
    var session = ProtobufMessage()
    session.add(1, 1)
    try append(step: firstStep) { $0.add(7, session) }
  }

  func append(_ summary: EventSummary, step: Int) throws(ReportError) {
    if !summary.isEmpty { try append(step: step) { $0.add(5, summary.message) } }
  }

  /// Removes such files from a run's folder.
  static func removeAll(from directory: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    where name.hasPrefix(namePrefix) { unlink(FilePath.join(directory, name)) }
  }

  private func append(step: Int, _ content: (inout ProtobufMessage) -> Void) throws(ReportError) {
    var event = ProtobufMessage()
    event.add(1, now())
    // Protocol buffers leave out what is zero.
    if step != 0 { event.add(2, step) }
    content(&event)
    try file.append(RecordFraming.framed(event.bytes))
  }

  static func clock() -> Double { Date().timeIntervalSince1970 }

  private static var host: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.isEmpty ? "localhost" : text.replacingOccurrences(of: "/", with: "_")
  }
}
