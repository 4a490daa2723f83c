import MMoEData
import MMoEFiles
import MMoEReport

/// The latest things to look at that a run made, `sample.png` and `sample.txt` in its folder; its event file has earlier ones, too.
///
/// They are a help, not a result: a run goes on without one that cannot be made or written.
final class RunSamples {
  private let folder: RunFolder
  private let recorder: Recorder
  /// The step of the latest picture among the events.
  private var shown = 0

  init(_ folder: RunFolder, _ recorder: Recorder) { (self.folder, self.recorder) = (folder, recorder) }

  /// Keeps a text that the model has made.
  ///
  /// - Returns: why it is not kept, for a person.
  func keep(_ text: String, step: Int) -> String? {
    attempt("text") {
      try DurableFile.write("step \(step): \(text)\n", to: folder.sampleText)
      var summary = EventSummary()
      summary.add("sample", text: text)
      try recorder.show(summary, step: step)
    }
  }

  /// Keeps a picture of an evaluation.
  ///
  /// - Parameter draw: makes it; nil where there is nothing to draw.
  /// - Returns: why it is not kept, for a person.
  func keep(_ draw: () throws -> RGBImage?, step: Int) -> String? {
    attempt("picture") {
      guard let drawn = try draw() else { return }
      let png = try drawn.png()
      try DurableFile.write(png, to: folder.samplePicture)
      // Some dozens for any number of evaluations: pictures are much larger than numbers.
      guard step * 10 >= shown * 11 else { return }
      shown = step
      var summary = EventSummary()
      summary.add("validation", png: png, width: drawn.width, height: drawn.height)
      try recorder.show(summary, step: step)
    }
  }

  private func attempt(_ what: String, _ work: () throws -> Void) -> String? {
    do { try work() } catch { return "note: no sample \(what): \(error)" }
    return nil
  }
}
