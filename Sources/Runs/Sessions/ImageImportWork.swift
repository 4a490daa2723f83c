import MMoEData
import MMoEFiles
import MMoEReport

/// `mmoe data import images`: an import with its progress and what it says at the end.
package enum ImageImportWork {
  /// - Throws: the first thing that is wrong, in one line.
  package static func run(
    _ source: String, to directory: String, _ options: ImageImport.Options, sink: any TextSink
  ) throws {
    let work = try ImageImport(options)
    var progress: ProgressLine?
    defer { progress?.finish() }
    var last = 0
    let summary = try work.run(source, to: directory) { done, total in
      if progress == nil {
        // What an interrupted import had done was not done in this time.
        progress = ProgressLine("import", total: total, start: done, sink: sink)
        last = done
        return
      }
      progress?.update(step: done, items: done - last)
      last = done
    }
    progress?.finish()
    progress = nil
    if summary.resumed > 0 { sink.line("\(HumanFormat.grouped(summary.resumed)) images were done before") }
    sink.line(
      "\(oneLine(source)) (\(summary.layout)): \(HumanFormat.grouped(summary.train)) train and \(HumanFormat.grouped(summary.val)) val images of \(summary.classes) classes in \(directory)"
    )
    if summary.resized > 0, let size = options.size {
      sink.line("\(HumanFormat.grouped(summary.resized)) were larger and have a shorter side of \(size) pixels now")
    }
    for message in summary.bad.prefix(5) { sink.line("left out: \(oneLine(message))") }
    if summary.bad.count > 5 {
      sink.line("left out: \(summary.bad.count - 5) more that cannot be read; manifest.json has all")
    }
    if let text = summary.leftOut.text { sink.line(text) }
    sink.line("next        mmoe train --task imagenet-subset --data \(ShellWord.quoted(directory))")
  }
}
