// Sortable tables, and links into folds. Paper shows what is unfolded.
(function () {
  "use strict";
  function value(row, column) {
    var cell = row.cells[column];
    var text = cell.hasAttribute("data-v") ? cell.getAttribute("data-v") : cell.textContent.trim();
    var number = Number(text.replace("\u2212", "-"));
    return text === "" || isNaN(number) ? text.toLowerCase() : number;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en");
  }
  function missing(v) { return v === "" || v === "nan" || v === "\u2013"; }
  function sort(table, head, column) {
    var up = head.getAttribute("aria-sort") !== "ascending";
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows).map(function (row, i) {
      return { row: row, at: i, v: value(row, column) };
    });
    rows.sort(function (a, b) {
      if (missing(a.v) !== missing(b.v)) return missing(a.v) ? 1 : -1; // last, either way
      return (up ? 1 : -1) * compare(a.v, b.v) || a.at - b.at;
    });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (cell) {
      cell.removeAttribute("aria-sort");
    });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.forEach(function (entry) { body.appendChild(entry.row); });
  }
  // a link into a fold opens it
  function unfold() {
    var target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    for (var at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) {
      var fold = target.closest("section") && target.closest("section").querySelector("details.fold");
      if (fold) fold.open = true;
      target.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", unfold);
  unfold();
  document.querySelectorAll("table.sortable").forEach(function (table) {
    if (table.tBodies[0].rows.length < 2) return;
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () { sort(table, head, column); });
    });
  });
})();
