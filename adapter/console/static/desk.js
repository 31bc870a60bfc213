"use strict";
// A click on an identifier copies it; "/" goes to the field that finds by one.
for (const el of document.querySelectorAll("[data-copy]")) {
  el.title = el.textContent;
  el.addEventListener("click", () => {
    if (!navigator.clipboard) return;
    navigator.clipboard.writeText(el.textContent).then(() => {
      el.classList.add("copied");
      setTimeout(() => el.classList.remove("copied"), 900);
    });
  });
}
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
  const find = document.querySelector(".find input");
  if (find) {
    e.preventDefault();
    find.focus();
  }
});
