import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// `report.html`: a run on one page that needs nothing else, neither other files nor a network.
///
/// Everything is read from the run's folder, so that it can be made again at any time, also while the run trains.
package struct RunPage {
  private let run: RunSummary
  private let history: MetricsHistory?
  private let record: RunRecord?

  /// - Parameter run: a run's folder, or its name below the folder where runs go.
  /// - Throws: `RunError` when there is no run.
  package init(_ run: String) throws {
    let folder = try RunComparison.folder(run)
    self.run = RunSummary(folder, RunLocks())
    record = try? RunRecord.read(folder)
    history = try? MetricsHistory(file: FilePath.join(folder, Recorder.fileName))
  }

  /// Writes the page.
  ///
  /// - Parameter file: nil = `report.html` in the run's folder.
  /// - Returns: the file.
  /// - Throws: `FileFailure` for a file that cannot be written, which then stays as it was.
  @discardableResult
  package func write(to file: String? = nil) throws -> String {
    let file = file ?? FilePath.join(run.folder, RunFolder.reportName)
    try DurableFile.write(html, to: file)
    return file
  }

  var html: String {
    """
    <!DOCTYPE html>
    <html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width"/>
    <title>\(htmlText(run.name)) – mmoe</title>
    <style>\(RunPage.style)</style></head><body>
    <h1>\(htmlText(run.name))</h1>
    <p class="lead">\(htmlText(lead))</p>
    \(cards)\(notes)\(section("Curves", RunCurves(history, run.metrics).html))\(section("Experts", RunExperts(history).html))
    \(section("Samples", samples))\(section("Evaluations", evaluations))\(section("Data and commands", origin))
    \(section("Settings", settings))\(section("Files", files))
    <footer>Made from the files of \(htmlText(run.folder)) with <code>mmoe runs report</code>. The same curves as they grow:
    <code>tensorboard --logdir \(htmlText(ShellWord.quoted(run.folder)))</code></footer>
    </body></html>

    """
  }

  private func section(_ title: String, _ content: String) -> String {
    content.isEmpty ? "" : "<section><h2>\(title)</h2>\n\(content)</section>\n"
  }

  private var lead: String {
    var parts = [run.task, run.preset.map { "preset \($0)" }, run.variant.map { "variant \($0)" }].compactMap { $0 }
    parts += [run.dataName.map { "data \($0)" }, run.dateText].compactMap { $0 }
    return parts.joined(separator: " · ")
  }

  private var cards: String {
    var cards: [(String, String)] = []
    if let step = run.step {
      cards.append(("steps", HumanFormat.grouped(step) + (run.steps.map { " of \(HumanFormat.grouped($0))" } ?? "")))
    }
    if let text = run.bestText, let best = run.best {
      cards.append(("best validation", "\(text), step \(HumanFormat.grouped(best.step))"))
    }
    if let loss = history?.points(MetricName.validationLoss).last?.value {
      cards.append(("last validation loss", HumanFormat.fixed(loss, 4)))
    }
    if let seconds = run.seconds { cards.append(("time in steps", HumanFormat.duration(seconds))) }
    if let rate = run.outline?.unitsPerSecond {
      cards.append(("throughput", "\(HumanFormat.count(rate)) \(run.outline?.unit ?? "")/s"))
    }
    let items = cards.map { "<div><dt>\(htmlText($0.0))</dt><dd>\(htmlText($0.1))</dd></div>" }
    return cards.isEmpty ? "" : "<dl class=\"cards\">\(items.joined())</dl>\n"
  }

  private var notes: String {
    var notes = run.notes
    if let history, let config = run.config { notes += RoutingNotes.lines(history, config.model.moe) }
    return notes.map { "<p class=\"note\">\(htmlText($0))</p>\n" }.joined()
  }

  private var samples: String {
    var text = ""
    let picture = FileManager.default.contents(atPath: FilePath.join(run.folder, RunFolder.samplePictureName))
    // It may be of a run that was killed, or somebody else's file.
    if let png = picture, png.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
      text +=
        "<p>Validation samples after the latest evaluation, each with the predicted class, its probability and the true class.</p><img alt=\"validation samples\" src=\"data:image/png;base64,\(png.base64EncodedString())\"/>\n"
    }
    if let said = FileManager.default.contents(atPath: FilePath.join(run.folder, RunFolder.sampleTextName)) {
      text += "<pre>\(htmlText(String(decoding: said, as: UTF8.self)))</pre>\n"
    }
    return text
  }

  /// The evaluations, at most the latest of them.
  private var evaluations: String {
    guard let history, let metrics = run.metrics else { return "" }
    let names =
      [MetricName.validationLoss] + ([metrics.best.name] + metrics.headlines.map(\.metric)).map { "val_\($0)" }
    var columns: [(name: String, values: [Int: Double])] = []
    for name in names where !columns.contains(where: { $0.name == name }) {
      let points = history.points(name)
      if !points.isEmpty { columns.append((name, Dictionary(points.map { ($0.step, $0.value) }) { $1 })) }
    }
    let shares = Set(
      ([(metrics.best.name, metrics.best.isShare)] + metrics.headlines.map { ($0.metric, $0.isShare) })
        .filter(\.1).map { "val_\($0.0)" })
    let steps = history.points(MetricName.validationLoss).map(\.step)
    guard !steps.isEmpty else { return "" }
    let shown = steps.suffix(50)
    let rows = shown.map { step in
      let cells = columns.map { column in
        column.values[step].map { Headline("", "", isShare: shares.contains(column.name)).text($0) } ?? "–"
      }
      return [HumanFormat.grouped(step)] + cells
    }
    let left = steps.count > shown.count ? "<p>The latest \(shown.count) of \(steps.count).</p>" : ""
    return left + RunPage.table(["step"] + columns.map { String($0.name.dropFirst(4)) }, rows, numbersFrom: 0)
  }

  private var origin: String {
    guard let record else { return "" }
    var rows = [["data", record.data.absolute]]
    for split in DatasetSplit.allCases {
      if let part = record.data.parts?[split.rawValue] { rows.append(["\(split.rawValue) part", part.summary]) }
    }
    for weights in record.initialWeights ?? [] {
      rows.append(["started from", "\(weights.absolute), \(weights.digest)"])
    }
    if let branch = record.branch { rows.append(["branch of", "\(branch.run) after step \(branch.step)"]) }
    for command in record.commands {
      let about = [
        command.started, command.program, command.ranks == 1 ? nil : "\(command.ranks) ranks", command.machine,
      ]
      rows.append(
        [
          "from step \(HumanFormat.grouped(command.firstStep))",
          command.command + "\n" + about.compactMap { $0 }.joined(separator: ", "),
        ])
    }
    return RunPage.table([], rows, numbersFrom: nil)
  }

  private var settings: String {
    guard let config = run.config else { return "" }
    let changed = RunConfig.table.differences(RunConfig(), config)
    return "<p>\(changed.count) settings differ from the program's defaults.</p>"
      + RunPage.table(
        ["setting", "value", "default"], changed.map { [$0.key, $0.second, $0.first] }, numbersFrom: nil)
      + "<details><summary>All settings</summary><pre>\(htmlText(RunConfig.table.yaml(config)))</pre></details>\n"
  }

  private var files: String {
    let names = ((try? FileManager.default.contentsOfDirectory(atPath: run.folder)) ?? []).sorted()
    let rows = names.filter { !$0.hasPrefix(".") && $0 != RunFolder.reportName }.map { name in
      let attributes = try? FileManager.default.attributesOfItem(atPath: FilePath.join(run.folder, name))
      return [name, (attributes?[.size] as? Int).map(HumanFormat.bytes) ?? "–"]
    }
    return RunPage.table([], rows, numbersFrom: 1)
  }

  /// - Parameter numbersFrom: the first column of numbers, which stand at the right; nil = none.
  static func table(_ heads: [String], _ rows: [[String]], numbersFrom: Int?) -> String {
    func cells(_ row: [String], _ tag: String) -> String {
      "<tr>"
        + row.enumerated().map { column, text in
          "<\(tag)\(numbersFrom.map { column >= $0 } == true ? " class=\"n\"" : "")>\(htmlText(text))</\(tag)>"
        }.joined() + "</tr>\n"
    }
    return
      "<div class=\"wide\"><table>\(heads.isEmpty ? "" : cells(heads, "th"))\(rows.map { cells($0, "td") }.joined())</table></div>\n"
  }
}
